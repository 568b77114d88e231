"""A manifest that a hostile session made: it names what another project has. Nobody reads it."""

import hashlib
from uuid import UUID

import httpx
import pytest
from blake3 import blake3

from snapshots.content import laid
from snapshots.manifest import ManifestWriter
from snapshots.model import Item, Kind, Pack, Part
from tests.control_plane.history.desk import Desk

SECRET = b"what another project keeps to itself"
PATHS = {
    "its text": "snapshots/nothing/diff/text?path=a",
    "a tree": "workspace/export",
    "an archive": "export",
    "a page of names": "snapshots/nothing/diff",
}


async def hostile(desk: Desk, session: UUID) -> None:
    """Its head names a pack of another project, by place and hash; the commit hides it."""
    elsewhere = await desk.office.session()
    frame = laid(SECRET)
    foreign = await desk.saver.upload(elsewhere, frame)
    part = Part(len(SECRET), blake3(SECRET).digest(), 0, 0, len(frame))
    writer = ManifestWriter()
    writer.add(Item(b"a", Kind.FILE, 0o644, 1, size=len(SECRET), parts=(part,)))
    stored = writer.finish([Pack(foreign, len(frame))], [])
    key = await desk.saver.upload(session, stored, "manifest")
    await desk.office.execute(
        "UPDATE snapshots SET manifest_key = $2, manifest_sha256 = $3 WHERE session_id = $1",
        session,
        key,
        hashlib.sha256(stored).hexdigest(),
    )


async def asked(desk: Desk, path: str) -> httpx.Response:
    async with desk.http.stream("GET", path) as answer:
        try:
            await answer.aread()
        except httpx.HTTPError:
            return httpx.Response(answer.status_code, content=b"")
        return answer


@pytest.mark.parametrize("what", PATHS)
async def test_read__nothing_of_another_project(desk: Desk, what: str) -> None:
    session = await desk.session()
    turn = await desk.turn(session, "one", {b"a": b"1"})
    await desk.stop(turn.berth)
    await hostile(desk, session)
    answer = await asked(desk, f"/api/v1/sessions/{session}/{PATHS[what]}")
    assert SECRET not in answer.content
    assert (answer.status_code, answer.json()["code"]) == (409, "snapshot_damaged")


async def test_fork_and_file__nothing_of_another_project(desk: Desk) -> None:
    session = await desk.session()
    turn = await desk.turn(session, "one", {b"a": b"1"})
    await desk.stop(turn.berth)
    await hostile(desk, session)
    refused = await desk.post(f"sessions/{session}/fork", {}, 409)
    assert refused["code"] == "snapshot_damaged"
    path = f"/api/v1/session-workers/{session}/workspace/file?path=a"
    answer = await asked(desk, path)
    assert SECRET not in answer.content
    assert (answer.status_code, answer.json()["code"]) == (409, "snapshot_damaged")
