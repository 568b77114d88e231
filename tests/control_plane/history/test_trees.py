"""A tree that is sent is the session's workspace; what goes out of one is what is in it."""

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID

import httpx
import pytest

from chassis.failpoints import arm, disarm_all
from contracts.trees import MEDIA_TYPE
from control_plane.services.manifests import Manifests
from control_plane.store import snapshots as snapshot_store
from snapshots.model import FRAME_BYTES, Item
from snapshots.paths import order
from tests.control_plane.history.desk import Desk
from tests.fixtures.barriers import Barrier
from tests.fixtures.control_plane import Caller

TAR = {"Content-Type": MEDIA_TYPE}
TREE = {
    b".env": b"TOKEN=secret\n",
    b".git/HEAD": b"ref: refs/heads/main\n",
    b"empty/": b"",
    b"large": os.urandom(FRAME_BYTES + 100) + bytes(2 * FRAME_BYTES),
    b"link": b"->../../etc/shadow",
    b"n\xffame\n": b"odd",
    b"src/a.py": b"print(1)\n",
}


@pytest.fixture(autouse=True)
def failpoints() -> Any:
    yield
    disarm_all()


def tar(tree: Mapping[bytes, bytes], *further: tarfile.TarInfo) -> bytes:
    """`/` at a name's end is a directory, `->` before a content a link."""
    file = io.BytesIO()
    with tarfile.open(
        fileobj=file, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8",
        errors="surrogateescape",
    ) as archive:  # fmt: skip
        for path in sorted(tree, key=order):
            content = tree[path]
            info = tarfile.TarInfo(path.rstrip(b"/").decode(errors="surrogateescape"))
            info.mtime = 1_700_000_000
            if path.endswith(b"/"):
                info.type = tarfile.DIRTYPE
            elif content.startswith(b"->"):
                info.type, info.linkname = tarfile.SYMTYPE, content[2:].decode()
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in further:
            archive.addfile(info)
    return file.getvalue()


def untarred(content: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    with tarfile.open(
        fileobj=io.BytesIO(content), encoding="utf-8", errors="surrogateescape"
    ) as archive:
        for member in archive:
            path = member.name.encode(errors="surrogateescape")
            if member.isdir():
                found[path + b"/"] = b""
            elif member.issym():
                found[path] = b"->" + member.linkname.encode()
            else:
                file = archive.extractfile(member)
                assert file is not None
                found[path] = file.read()
    return found


async def send(
    caller: httpx.AsyncClient, session: UUID, content: bytes | AsyncIterator[bytes], **headers: str
) -> httpx.Response:
    path = f"/api/v1/sessions/{session}/workspace/import"
    return await caller.post(path, content=content, headers={**TAR, **headers})


async def fetch(caller: httpx.AsyncClient, session: UUID, **query: str) -> dict[bytes, bytes]:
    answer = await caller.get(f"/api/v1/sessions/{session}/workspace/export", params=query)
    assert answer.status_code == 200, answer.text
    return untarred(answer.content)


async def items(desk: Desk, session: UUID) -> dict[bytes, Item]:
    """Of the head, read as restores do."""
    async with desk.office.database.reading() as connection:
        head = await snapshot_store.head(connection, session)
    assert head is not None
    manifest = await Manifests(desk.saver._objects).read(head.manifest_key, head.manifest_sha256)
    return {item.path: item for item in manifest.items()}


async def test_tree__goes_in_and_comes_out(desk: Desk) -> None:
    session = await desk.session()
    answer = await send(desk.http, session, tar(TREE))
    assert answer.status_code == 201, answer.text
    made = answer.json()
    shown = await desk.get(f"sessions/{session}")
    assert shown["head_snapshot_id"] == made["snapshot_id"]
    assert made["former_head"] is None
    (listed,) = (await desk.get(f"sessions/{session}/snapshots"))["items"]
    assert listed["head"]
    assert (listed["type"], listed["run_id"]) == ("acknowledged", None)
    assert await fetch(desk.http, session) == {
        **TREE, b".git/": b"", b"src/": b"",
    }  # fmt: skip
    kept = await items(desk, session)
    assert kept[b"large"].parts[-1].is_hole, "zeros take no room"


async def test_sent_twice__with_one_key_is_one_snapshot(desk: Desk) -> None:
    session = await desk.session()
    key = {"Idempotency-Key": "once"}
    first = await send(desk.http, session, tar(TREE), **key)
    again = await send(desk.http, session, tar(TREE), **key)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    other = await send(desk.http, session, tar({b"a": b"b"}), **key)
    assert other.json()["code"] == "idempotency_key_reused"
    assert len((await desk.get(f"sessions/{session}/snapshots"))["items"]) == 1


async def test_second_tree__keeps_what_agents_remember(desk: Desk) -> None:
    session = await desk.session()
    memory = {b".berth/session.json": b"{}", b".berth/agents/scripted/s": b"x"}
    turn = await desk.turn(session, "one", {**memory, b"old": b"old"})
    await desk.stop(turn.berth)
    answer = await send(desk.http, session, tar({b"new": b"new"}))
    assert answer.status_code == 201, answer.text
    assert answer.json()["former_head"] == str(turn.snapshot_id)
    kept = await items(desk, session)
    assert set(memory) < set(kept)
    assert b"old" not in kept
    # and none of it leaves with the tree
    assert await fetch(desk.http, session) == {b"new": b"new"}
    await desk.roll_back(session, turn.snapshot_id)
    assert await fetch(desk.http, session) == {b"old": b"old"}


async def test_busy__or_with_a_worker_is_refused(desk: Desk) -> None:
    session = await desk.session()
    berth = await desk.begin(session, "one")
    answer = await send(desk.http, session, tar(TREE))
    assert (answer.status_code, answer.json()["code"]) == (409, "session_busy")
    saved = await desk.save(berth, {b"a": b"a"})
    await desk.office.report(berth, saved, berth.finish(output="done"))
    answer = await send(desk.http, session, tar(TREE))
    assert (answer.status_code, answer.json()["code"]) == (409, "worker_not_released")
    assert "berth workers stop" in answer.json()["detail"]


async def test_message_that_comes_meanwhile__wins(desk: Desk) -> None:
    session = await desk.session()
    barrier = Barrier()
    arm("tree.built", barrier.action)
    sending = asyncio.create_task(send(desk.http, session, tar(TREE)))
    await barrier.reached()
    await desk.begin(session, "one")
    barrier.release()
    answer = await sending
    assert answer.json()["code"] == "session_busy"
    assert (await desk.get(f"sessions/{session}"))["head_snapshot_id"] is None


async def test_two_at_once__one_is_told_that_the_head_moved(desk: Desk) -> None:
    session = await desk.session()
    barrier = Barrier()
    arm("tree.built", barrier.action)
    first = asyncio.create_task(send(desk.http, session, tar({b"a": b"first"})))
    await barrier.reached()
    disarm_all()
    second = await send(desk.http, session, tar({b"a": b"second"}))
    assert second.status_code == 201
    barrier.release()
    assert (await first).json()["code"] == "head_moved"
    assert await fetch(desk.http, session) == {b"a": b"second"}


def entry(name: str, kind: bytes, **changes: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in changes.items():
        setattr(info, field, value)
    return info


@pytest.mark.parametrize(
    ("content", "rule", "path"),
    [
        (tar({}, entry("../out", tarfile.REGTYPE)), "path", "../out"),
        (tar({}, entry("/etc/passwd", tarfile.REGTYPE)), "path", "/etc/passwd"),
        (tar({b"a": b"->/etc"}, entry("a/b", tarfile.REGTYPE)), "beneath", "a/b"),
        (tar({b"a": b"x"}, entry("a", tarfile.REGTYPE)), "duplicate", "a"),
        (tar({b"b": b"x"}, entry("a", tarfile.REGTYPE)), "order", "a"),
        (tar({}, entry("d", tarfile.CHRTYPE)), "archive", "d"),
        (tar({}, entry("p", tarfile.FIFOTYPE)), "archive", "p"),
        (tar({}, entry("h", tarfile.LNKTYPE, linkname="../../etc/passwd")), "hard_link", "h"),
        (tar({}, entry("h", tarfile.LNKTYPE, linkname="gone")), "hard_link", "h"),
        (tar({}, entry(".berth/session.json", tarfile.REGTYPE)), "reserved", ".berth/session.json"),
        (tar(TREE)[:5000], "archive", ""),
        (b"\x1f\x8b\x08" + bytes(3000), "archive", ""),
    ],
)
async def test_crafted__is_refused_with_its_name_and_rule(
    desk: Desk, content: bytes, rule: str, path: str
) -> None:
    session = await desk.session()
    answer = await send(desk.http, session, content)
    assert answer.status_code == 400, answer.text
    problem = answer.json()
    assert problem["code"] == "validation_failed"
    details = problem["details"]
    assert (details["field"], details["rule"], details["path"]) == ("body", rule, path)
    assert (await desk.get(f"sessions/{session}"))["head_snapshot_id"] is None


async def test_sizes_that_lie__take_no_room(desk: Desk) -> None:
    """An entry says that it has a terabyte; the limit refuses it before it comes."""
    session = await desk.session()
    info = tarfile.TarInfo("bomb")
    info.size = 1 << 40
    answer = await send(desk.http, session, info.tobuf(tarfile.GNU_FORMAT) + bytes(512))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.json()["details"]["limit"] == 16384 * 1024 * 1024


async def test_disk_limit_of_the_session__is_the_trees(desk: Desk) -> None:
    session = await desk.session()
    patched = await desk.http.patch(f"/api/v1/session-workers/{session}", json={"disk_mib": 16})
    assert patched.status_code == 200, patched.text
    content = tar({b"a": bytes(17 * 1024 * 1024)})
    answer = await send(desk.http, session, content)
    assert (answer.status_code, answer.json()["details"]["limit"]) == (413, 16 * 1024 * 1024)


async def test_differences__both_sides(desk: Desk) -> None:
    session = await desk.session()
    sent = await send(desk.http, session, tar({b"gone": b"g", b"same": b"s", b"text": b"old"}))
    first = sent.json()["snapshot_id"]
    turn = await desk.turn(session, "one", {b"same": b"s", b"text": b"new", b"d/new": b"n"})
    del turn
    after = await fetch(desk.http, session, since=first)
    assert after == {b"d/": b"", b"d/new": b"n", b"text": b"new"}
    before = await fetch(desk.http, session, since=first, side="before")
    assert before == {b"gone": b"g", b"text": b"old"}
    everything = await fetch(desk.http, session, since="nothing")
    assert set(everything) == {b"d/", b"d/new", b"same", b"text"}
    assert await fetch(desk.http, session, since="nothing", side="before") == {}
    wrong = await desk.http.get(
        f"/api/v1/sessions/{session}/workspace/export", params={"since": "yesterday"}
    )
    assert (wrong.status_code, wrong.json()["details"]["field"]) == (400, "since")


async def test_sensitive_names__are_for_owners(desk: Desk, viewer: Caller) -> None:
    session = await desk.session()
    await send(desk.http, session, tar({b".env": b"TOKEN=x", b"a": b"a"}))
    path = f"/api/v1/sessions/{session}/workspace/export"
    answer = await viewer.http.get(path)
    assert untarred(answer.content) == {b"a": b"a"}
    assert answer.headers["berth-withheld"] == "1"
    assert (answer.headers["berth-files"], answer.headers["berth-bytes"]) == ("1", "1")
    assert set(await fetch(desk.http, session)) == {b".env", b"a"}
    audited = (await desk.get("audit"))["items"]
    assert any(one["action"] == "workspace.sensitive" for one in audited)


async def test_who_may(desk: Desk, viewer: Caller, stranger: Caller) -> None:
    session = await desk.session()
    assert (await send(viewer.http, session, tar({b"a": b"a"}))).status_code == 403
    assert (await send(stranger.http, session, tar({b"a": b"a"}))).status_code == 404
    kind = await desk.http.post(
        f"/api/v1/sessions/{session}/workspace/import",
        content=b"{}",
        headers={"Content-Type": "application/json"},
    )
    assert kind.json()["code"] == "unsupported_media_type"


async def test_paths_without_end__are_read_again(desk: Desk) -> None:
    """A thousand of them are more than what is unpacked at once, were they in one segment."""
    session = await desk.session()
    deep = b"/".join([b"d" * 250] * 40)
    tree = {b"%b/%04d" % (deep, number): b"" for number in range(1100)}
    answer = await send(desk.http, session, tar(tree))
    assert answer.status_code == 201, answer.text
    assert len(await items(desk, session)) == 1100 + 40
