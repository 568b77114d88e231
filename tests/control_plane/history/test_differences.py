"""What two snapshots differ in: names by pages, and patches that the real git takes."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from control_plane.services import differences
from tests.control_plane.history.desk import Desk, Files, items_of
from tests.fixtures.control_plane import Caller

BEFORE: Files = {
    b"docs/gone.md": b"was here\n",
    b"link": b"->docs",
    b"name with spaces.txt": b"1\n2\n3\n",
    b"no end": b"first\nlast",
    b"same": b"same\n",
    b"src/main.py": b"".join(b"line %d\n" % n for n in range(100)),
    'übung "x".txt'.encode(): b"a\n",
    b"was/file": b"text\n",
}
AFTER: Files = {
    b"binary": b"\0\1\2",
    b"empty": b"",
    b"link": b"->src",
    b"name with spaces.txt": b"1\nzwei\n3\n",
    b"new/deep/file.txt": b"hello\n",
    b"no end": b"first\nlast\n",
    b"same": b"same\n",
    b"src/main.py": b"".join(b"line %d\n" % n for n in range(100) if n not in {3, 50})
    + b"one more\n",
    'übung "x".txt'.encode(): b"b\n",
    b"was/file": b"->same",
}
CHANGED = {
    "binary": "added",
    "docs": "removed",
    "docs/gone.md": "removed",
    "empty": "added",
    "link": "changed",
    "name with spaces.txt": "changed",
    "new": "added",
    "new/deep": "added",
    "new/deep/file.txt": "added",
    "no end": "changed",
    "src/main.py": "changed",
    'übung "x".txt': "changed",
    "was/file": "changed",
}


class Pair:
    def __init__(self, desk: Desk, session: UUID, before: str, after: str) -> None:
        self.desk = desk
        self.session = session
        self.base = f"sessions/{session}/snapshots"
        self.before, self.after = before, after

    async def names(self, before: str | None = None, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        path, cursor = f"{self.base}/{before or self.before}/diff", None
        while True:
            page = await self.desk.get(path, cursor=cursor, **query)
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    async def text(self, path: str, **query: Any) -> dict[str, Any]:
        return await self.desk.get(f"{self.base}/{self.before}/diff/text", path=path, **query)


async def pair_of(desk: Desk, before: Files, after: Files) -> Pair:
    session = await desk.session()
    first = await desk.turn(session, "one", before)
    second = await desk.turn(session, "two", after)
    return Pair(desk, session, str(first.snapshot_id), str(second.snapshot_id))


@pytest.fixture
async def pair(desk: Desk) -> Pair:
    return await pair_of(desk, BEFORE, AFTER)


@pytest.mark.parametrize("limit", [1, 4, 200])
async def test_names__by_pages(pair: Pair, limit: int) -> None:
    found = await pair.names(limit=limit)
    assert {one["path"]: one["change"] for one in found} == CHANGED
    assert len(found) == len(CHANGED)
    main = next(one for one in found if one["path"] == "src/main.py")
    sizes = len(BEFORE[b"src/main.py"]), len(AFTER[b"src/main.py"])
    assert (main["before"]["size"], main["after"]["size"]) == sizes
    assert main["before"]["kind"] == "file"


async def test_names__a_page_of_few_items_has_another_behind_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large the trees, one page walks only so far."""
    for most in (2, 3, 7):
        monkeypatch.setattr(differences, "MOST_WALKED", most)
        found = await pair.names()
        assert {one["path"]: one["change"] for one in found} == CHANGED, most
        assert len(found) == len(CHANGED)


async def test_names__against_nothing_and_back(pair: Pair) -> None:
    everything = {one[0].path.decode() for one in items_of(AFTER)}
    found = await pair.names("nothing", to=pair.after)
    assert {one["path"] for one in found} == everything
    assert {one["change"] for one in found} == {"added"}
    back = await pair.names(pair.after, to=pair.before)
    assert {one["path"] for one in back} == set(CHANGED)
    assert await pair.names(pair.after, to=pair.after) == []


async def test_names__that_are_no_utf8(desk: Desk) -> None:
    pair = await pair_of(desk, {}, {b"caf\xe9": b"x\n"})
    (found,) = await pair.names()
    assert (found["path"], found["escaped"]) == ("caf%E9", True)
    text = await pair.text("caf%E9", escaped="1")
    assert "+x" in text["text"]
    refused = await desk.http.get(
        f"/api/v1/{pair.base}/{pair.before}/diff/text", params={"path": "caf%E9"}
    )
    assert refused.status_code == 404


async def test_text__is_a_patch_that_git_takes(pair: Pair, tmp_path: Path) -> None:
    """Applied to the tree before, it makes the tree after."""
    for path, content in BEFORE.items():
        place = tmp_path / path.decode()
        place.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith(b"->"):
            place.symlink_to(content[2:].decode())
        else:
            place.write_bytes(content)
    patches: list[str] = []
    for one in await pair.names():
        kinds = {side["kind"] for side in (one["before"], one["after"]) if side}
        if kinds == {"directory"} or one["path"] == "binary":
            continue
        patches.append((await pair.text(one["path"]))["text"])
    applied = await asyncio.to_thread(_apply, "".join(patches), tmp_path)
    assert applied.returncode == 0, applied.stderr.decode()
    for path, content in AFTER.items():
        place = tmp_path / path.decode()
        if content.startswith(b"->"):
            assert str(place.readlink()) == content[2:].decode()
        elif path != b"binary":
            assert place.read_bytes() == content, path
    assert not (tmp_path / "docs/gone.md").exists()


def _apply(patch: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return subprocess.run(
        ["git", "apply", "--whitespace=nowarn", "-"],
        cwd=folder,
        input=patch.encode(),
        capture_output=True,
        check=False,
    )


async def test_text__says_why_there_is_none(desk: Desk) -> None:
    large = b"x\n" * 300_000
    alike = b"".join(b"same\n" for _ in range(3000))
    other = b"".join(b"same\n" if n % 2 else b"other %d\n" % n for n in range(3000))
    before = {b"dir/a": b"1\n", b"large": b"", b"alike": alike}
    pair = await pair_of(
        desk, before, {b"binary": b"\0", b"latin": b"\xe9", b"large": large, b"alike": other}
    )
    for path, why in {
        "binary": "binary",
        "latin": "binary",
        "large": "too_large",
        "dir": "no_content",
        "alike": "too_different",
    }.items():
        found = await pair.text(path)
        assert (found["text"], found["why"]) == (None, why), path
    missing = await desk.http.get(
        f"/api/v1/{pair.base}/{pair.before}/diff/text", params={"path": "nowhere"}
    )
    assert missing.status_code == 404


async def test_text__of_sensitive_names_is_for_owners(
    pair: Pair, desk: Desk, member: Caller, viewer: Caller
) -> None:
    secret = await pair_of(desk, {b"conf/.env": b"KEY=1\n"}, {b"conf/.env": b"KEY=2\n"})
    path = f"/api/v1/{secret.base}/{secret.before}/diff/text"
    for caller in (member, viewer):
        names = await caller.http.get(f"/api/v1/{secret.base}/{secret.before}/diff")
        assert [one["path"] for one in names.json()["items"]] == ["conf/.env"]
        refused = await caller.http.get(path, params={"path": "conf/.env"})
        assert (refused.status_code, refused.json()["code"]) == (403, "sensitive_path")
        assert "KEY" not in refused.text
    assert "+KEY=2" in (await secret.text("conf/.env"))["text"]
    query = "SELECT count(*) FROM audit WHERE action = 'workspace.sensitive'"
    assert await desk.office.value(query) == 1


async def test_names__wrong_ids_and_cursors(pair: Pair, desk: Desk, stranger: Caller) -> None:
    base = f"/api/v1/{pair.base}"
    assert (await stranger.http.get(f"{base}/{pair.before}/diff")).status_code == 404
    for wrong in ("none", "..", str(pair.session)):
        refused = await desk.http.get(f"{base}/{wrong}/diff")
        assert refused.status_code == 404, wrong
    page = await desk.get(f"{pair.base}/{pair.before}/diff", limit=1)
    elsewhere = await desk.http.get(
        f"{base}/nothing/diff", params={"cursor": page["next_cursor"], "to": pair.after}
    )
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (400, "bad_cursor")


async def test_names__of_a_manifest_that_was_cut(desk: Desk) -> None:
    pair = await pair_of(desk, BEFORE, AFTER)
    key = await desk.office.value(
        "SELECT manifest_key FROM snapshots WHERE id = $1", UUID(pair.after)
    )
    content = await desk.saver._objects.get(key)
    await desk.saver._objects.put(key, content[: len(content) // 2])
    refused = await desk.http.get(f"/api/v1/{pair.base}/{pair.before}/diff")
    assert (refused.status_code, refused.json()["code"]) == (409, "snapshot_damaged")
