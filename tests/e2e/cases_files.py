"""Black box: one file of a workspace through the gateway, and nothing but the workspace's files."""

import hashlib

from tests.e2e.cases import Case, Scene
from tests.e2e.cases_refusals import problem
from tests.system.visitor import script

BIG = 24 * 1024 * 1024
LINKS = (
    "mkdir -p folder 'odd name/ü'; echo odd > 'odd name/ü/f+%.txt'; : > empty; "
    "ln -s /etc/passwd out; ln -s ../../../../etc/passwd up; ln -s big.sum inside; "
    "ln -s / root; mkfifo pipe; umask 077; echo mine > private"
)
MAKE = f"head -c {BIG} /dev/urandom > big.bin; sha256sum big.bin | cut -c1-64 > big.sum; {LINKS}"


async def downloads(scene: Scene) -> None:
    shadow = await scene.visitor.send(script({"shell": MAKE}))
    await scene.visitor.succeeded(shadow)
    session = scene.visitor.session_of(shadow)
    big, told = [await scene.api.file(session, name) for name in ("big.bin", "big.sum")]
    assert len(big.content) == BIG
    assert hashlib.sha256(big.content).hexdigest() == told.text.strip()
    assert big.headers.get("content-length") == str(BIG), dict(big.headers)
    for name, content in (("odd name/ü/f+%.txt", "odd\n"), ("empty", ""), ("private", "mine\n")):
        answer = await scene.api.file(session, name)
        assert (answer.status_code, answer.text) == (200, content), name


async def escapes(scene: Scene) -> None:
    """Links that lead out, parents, absolute paths, what is no regular file."""
    shadow = await scene.visitor.send(script({"shell": LINKS}))
    await scene.visitor.succeeded(shadow)
    session = scene.visitor.session_of(shadow)
    for path in (
        "out", "up", "root/etc/passwd", "../spool/entries", "/etc/passwd", "..", ".", "",
        "folder", "pipe", "missing", "folder/../../control/executor.sock", "empty/below", "a\0b",
    ):  # fmt: skip
        answer = await scene.api.file(session, path)
        assert 400 <= answer.status_code < 500, (path, answer.status_code, answer.text[:200])
        assert problem(answer, answer.status_code)
        assert "root:" not in answer.text


async def without_worker(scene: Scene) -> None:
    """What was saved last, to read."""
    shadow = await scene.visitor.send(script({"write": {"path": "f", "content": "x"}}))
    await scene.visitor.succeeded(shadow)
    session = scene.visitor.session_of(shadow)
    await scene.api.stop_worker(session)
    answer = await scene.api.file(session, "f")
    assert (answer.status_code, answer.text) == (200, "x"), answer.text
    assert answer.headers["berth-workspace"] == "snapshot"
    place = f"/api/v1/session-workers/{session}/workspace/file"
    refused = await scene.api.raw("PUT", place, params={"path": "f"}, content=b"y")
    assert problem(refused, 409) == "workspace_read_only"


FILES = [
    Case(name="files of a workspace", play=downloads),
    Case(name="nothing but files of the workspace", play=escapes),
    Case(name="no worker: files to read", play=without_worker),
]
