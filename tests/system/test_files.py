"""A file of a running session's workspace, through every service: exactly it, and nothing else."""

import io
import urllib.parse
import zipfile
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from chassis.auth import IDENTITY_HEADER, hash_token, sign_identity
from chassis.client import ServiceClient
from cli.client import ApiClient, Place
from cli.embedded.secret_files import SecretFiles, read_secret
from cli.stack.service import OwnService
from contracts.identity import INTROSPECT, Introspect
from contracts.tickets import ASK_TICKET, TICKET_HEADER, AskTicket, Ticket
from contracts.workspace_files import MANAGER_WORKSPACE
from control_plane.bootstrap import bootstrap
from gateway.auth import AUDIENCE
from tests.fixtures.deadlines import eventually
from tests.fixtures.stack import EmbeddedStack
from tests.system.visitor import Visitor, script

BIG = 8 * 1024 * 1024
MADE = f"""
head -c {BIG} /dev/urandom > big
mkdir -p folder/deep && printf deep > 'folder/deep/a b;ü.txt'
ln -s /etc/passwd link && ln -s folder linked
mkfifo fifo
"""


def file_of(session: UUID, path: str) -> str:
    quoted = urllib.parse.quote(path, safe="")
    return f"/api/v1/session-workers/{session}/workspace/file?path={quoted}"


@pytest.fixture
async def session(visitor: Visitor) -> UUID:
    """It has files, and its worker waits for the next message."""
    shadow = await visitor.send(script({"shell": MADE}, {"text": "made"}))
    assert await shadow.closed() == "succeeded"
    return visitor.session_of(shadow)


async def read(stack: EmbeddedStack, session: UUID, path: str) -> httpx.Response:
    return await stack.api.http.get(file_of(session, path))


async def test_file__is_what_the_agent_made(stack: EmbeddedStack, session: UUID) -> None:
    there = stack.box(session).workspace
    answer = await read(stack, session, "big")
    assert answer.status_code == 200
    assert len(answer.content) == BIG
    assert answer.content == (there / "big").read_bytes()
    answer = await read(stack, session, "folder/deep/a b;ü.txt")
    assert answer.content == b"deep"
    assert answer.headers["content-type"] == "application/octet-stream"
    name = urllib.parse.quote("a b;ü.txt", safe="")
    assert answer.headers["content-disposition"].endswith(f"filename*=UTF-8''{name}")


async def test_other_paths__are_refused(stack: EmbeddedStack, session: UUID) -> None:
    wrong = {
        "../workspace/big": (400, "validation_failed"),
        "/etc/passwd": (400, "validation_failed"),
        "link": (400, "validation_failed"),
        "linked/deep": (400, "validation_failed"),
        "fifo": (400, "validation_failed"),
        "folder": (400, "validation_failed"),
        "gone": (404, "not_found"),
    }
    told: dict[str, tuple[int, Any]] = {}
    for path in wrong:
        answer = await read(stack, session, path)
        told[path] = (answer.status_code, answer.json()["code"])
    assert told == wrong


async def test_key_of_another_project__finds_no_such_session(
    stack: EmbeddedStack, session: UUID
) -> None:
    database = read_secret(stack.home / "run" / "database-url")
    made = await bootstrap(database, project="others", user="stranger", key_name="theirs")
    key = msgspec.json.decode(made)["key"]
    async with ApiClient(Place(url=stack.api.url, key=key)) as stranger:
        theirs = await stranger.http.get(file_of(session, "big"))
        nobodys = await stranger.http.get(file_of(UUID(int=1), "big"))
    assert (theirs.status_code, theirs.json()["code"]) == (404, "session_not_found")
    assert nobodys.json()["code"] == "session_not_found"


async def test_ticket__is_good_once(stack: EmbeddedStack, session: UUID) -> None:
    ticket = await ticket_for(stack, session)
    place = MANAGER_WORKSPACE.format(worker_id=ticket.worker_id, operation="file")
    async with httpx.AsyncClient(base_url=ticket.manager_url, trust_env=False) as http:
        statuses = [
            (await http.get(f"{place}?path=big", headers={TICKET_HEADER: text})).status_code
            for text in (ticket.ticket, ticket.ticket, "btk_made-up", "")
        ]
    assert statuses == [200, 403, 403, 401]


async def test_stopped_worker__leaves_its_last_snapshot_to_read(
    stack: EmbeddedStack, session: UUID
) -> None:
    """What was written by hand, without any run after it, is in it."""
    live = await stack.api.http.put(file_of(session, "folder/by hand.txt"), content=b"by hand")
    assert live.status_code == 201, live.text
    assert live.headers["berth-workspace"] == "live"
    asked = await stack.api.http.post(f"/api/v1/session-workers/{session}/stop")
    assert asked.status_code == 202

    async def from_snapshot() -> httpx.Response | None:
        answer = await read(stack, session, "folder/by hand.txt")
        return answer if answer.headers.get("berth-workspace") == "snapshot" else None

    answer = await eventually(from_snapshot, "it is read from its snapshot")
    assert (answer.status_code, answer.content) == (200, b"by hand")
    refused = await stack.api.http.put(file_of(session, "x"), content=b"x")
    assert (refused.status_code, refused.json()["code"]) == (409, "workspace_read_only")


async def test_files__all_that_people_do(stack: EmbeddedStack, session: UUID) -> None:
    place = f"/api/v1/session-workers/{session}/workspace"
    http = stack.api.http
    tree = (await http.get(f"{place}/tree", params={"depth": 2, "limit": 200})).json()["items"]
    assert {"big", "fifo", "folder", "folder/deep", "link"} <= {one["path"] for one in tree}
    found = (await http.get(f"{place}/search", params={"path": "folder", "text": "deep"})).json()[
        "items"
    ]
    assert [one["entry"]["path"] for one in found] == ["folder/deep/a b;ü.txt"]
    made = await http.post(f"{place}/mkdir", json={"path": "new/one", "parents": True})
    assert made.status_code == 201, made.text
    moved = await http.post(f"{place}/rename", json={"from": "big", "to": "new/one/big"})
    assert (moved.status_code, moved.json()["size"]) == (200, BIG)
    part = await http.get(file_of(session, "new/one/big"), headers={"Range": "bytes=-5"})
    assert (part.status_code, len(part.content)) == (206, 5)
    upload = await http.post(
        f"{place}/upload", params={"path": "new"}, files={"f": ("sub/x.txt", b"uploaded")}
    )
    assert upload.status_code == 201, upload.text
    archive = await http.get(f"{place}/download", params={"path": "new"})
    with zipfile.ZipFile(io.BytesIO(archive.content)) as opened:
        assert opened.read("sub/x.txt") == b"uploaded"
        assert len(opened.read("one/big")) == BIG
    gone = await http.delete(f"{place}/file", params={"path": "new", "recursive": 1})
    assert gone.status_code == 200, gone.text
    assert not (stack.box(session).workspace / "new").exists()


async def ticket_for(stack: EmbeddedStack, session: UUID) -> Ticket:
    """As the gateway asks for one, in the name of the stack's own key."""
    secrets = SecretFiles(stack.home / "secrets")
    key = stack.api.http.headers["authorization"].removeprefix("Bearer ")
    plane = stack.part("control-plane")
    assert isinstance(plane, OwnService)
    gateway = ServiceClient(
        plane.url, key=read_secret(secrets.service_key("gateway")), target="control_plane"
    )
    async with gateway:
        found = await gateway.call(INTROSPECT, Introspect(key_hash=hash_token(key)))
        assert found.claims is not None
        signing = read_secret(secrets.signing_key("gateway")[0])
        identity = sign_identity(signing, found.claims, AUDIENCE)
        return await gateway.call(
            ASK_TICKET,
            AskTicket(session_id=session, audience="workspace.read"),
            headers={IDENTITY_HEADER: identity},
        )
