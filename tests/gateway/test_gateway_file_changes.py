"""A workspace's files are changed through the gateway: streamed, bounded, by tickets."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec
import pytest

from chassis.ids import new_id
from contracts.errors import RENDERINGS, Code, Problem
from contracts.tickets import ASK_TICKET, AskTicket, Ticket
from contracts.workspace_files import EntryKind, WorkspaceEntry, WrittenFile
from tests.fixtures.gateway import Front
from tests.fixtures.serving import serving
from tests.fixtures.upstream import Upstream

SESSION = new_id()
PLACE = f"/api/v1/session-workers/{SESSION}/workspace"
ENTRY = WorkspaceEntry(
    path="a", name="a", kind=EntryKind.FILE, size=3, mode=0o644, mtime=1.0, etag='"e"'
)


@dataclass
class Host:
    """ASGI: where the session's manager would be; it takes what comes."""

    problem: Problem | None = None
    answer: Any = field(default_factory=lambda: WrittenFile(entry=ENTRY, created=True))
    seen: list[dict[str, Any]] = field(default_factory=list)
    taken: int = 0
    some: asyncio.Event = field(default_factory=asyncio.Event)
    cut: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.cut.set()
                return
            body += message.get("body", b"")
            self.taken = len(body)
            if body:
                self.some.set()
            more = message.get("more_body", False)
        target = f"{scope['raw_path'].decode()}?{scope['query_string'].decode()}"
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        call = {"method": scope["method"], "target": target, "headers": headers}
        self.seen.append({**call, "body": bytes(body)})
        status = 201 if self.problem is None else self.problem.status
        told = msgspec.json.encode(self.answer if self.problem is None else self.problem)
        given = [(b"content-type", b"application/json"), (b"etag", b'"e"'), (b"x-secret", b"1")]
        await send({"type": "http.response.start", "status": status, "headers": given})
        await send({"type": "http.response.body", "body": told})


def problem(code: Code) -> Problem:
    rendering = RENDERINGS[code]
    return Problem(title=rendering.title, status=rendering.status, code=code, detail="so it is")


async def code_of(answer: aiohttp.ClientResponse) -> str:
    return (await answer.json(content_type=None))["code"]


@pytest.fixture
async def host(upstream: Upstream) -> AsyncGenerator[Host]:
    host = Host()
    async with serving(host, graceful_seconds=0) as url:
        upstream.ticket = Ticket(
            ticket="btk_one", worker_id=new_id(), manager_url=url, expires_in_seconds=60
        )
        yield host


def asked(upstream: Upstream) -> list[AskTicket]:
    return [
        msgspec.json.decode(one.body, type=AskTicket)
        for one in upstream.seen
        if one.target == ASK_TICKET.path
    ]


def ticket(operation: str, *paths: str) -> AskTicket:
    return AskTicket(
        session_id=SESSION, audience="workspace.write", operation=operation, paths=list(paths)
    )


async def test_put__goes_on_as_it_comes_with_its_conditions(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host
) -> None:
    async def sent() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.wait_for(host.some.wait(), 30)
        yield b" then"

    headers = {"If-Match": '"x"', "X-Berth-Withheld": "*", "Berth-Withheld": "*"}
    async with http.put(
        f"{PLACE}/file", params={"path": "src/a b"}, data=sent(), headers=headers
    ) as answer:
        assert (answer.status, (await answer.json())["created"]) == (201, True)
        assert answer.headers["ETag"] == '"e"'
        assert answer.headers["Berth-Workspace"] == "live"
        assert "X-Secret" not in answer.headers
    (seen,) = host.seen
    assert (seen["method"], seen["body"]) == ("PUT", b"first then")
    assert seen["target"].endswith("/workspace/file?path=src/a%20b")
    assert seen["headers"]["if-match"] == '"x"'
    assert not [name for name in seen["headers"] if "withheld" in name]
    assert asked(upstream) == [ticket("file", "src/a%20b")]


@pytest.mark.parametrize(
    ("method", "operation", "body", "target", "paths"),
    [
        (
            "POST",
            "rename",
            {"from": "a/b", "to": "%C3%A4%FF", "escaped": True, "overwrite": True},
            "rename?from=a/b&to=%C3%A4%FF&overwrite=1",
            ["a/b", "%C3%A4%FF"],
        ),
        (
            "POST",
            "mkdir",
            {"path": "ä", "parents": True},
            "mkdir?path=%C3%A4&parents=1",
            ["%C3%A4"],
        ),
        ("DELETE", "file?path=a&recursive=1", None, "file?path=a&recursive=1", ["a"]),
    ],
)
async def test_change__names_its_paths_to_the_control_plane(
    http: aiohttp.ClientSession,
    upstream: Upstream,
    host: Host,
    *,
    method: str,
    operation: str,
    body: Any,
    target: str,
    paths: list[str],
) -> None:
    async with http.request(method, f"{PLACE}/{operation}", json=body) as answer:
        assert answer.status == 201
    assert host.seen[0]["target"].endswith(f"/workspace/{target}")
    name = "delete" if method == "DELETE" else operation
    assert asked(upstream) == [ticket(name, *paths)]


@pytest.mark.parametrize(
    ("operation", "body", "field"),
    [
        ("rename", {"from": "a"}, "to"),
        ("rename", {"from": "../a", "to": "b"}, "from"),
        ("rename", {"from": "a", "to": "b/../../c"}, "to"),
        ("rename", {"from": "a", "to": "b", "force": True}, "force"),
        ("mkdir", {"path": ""}, "path"),
        ("mkdir", {"path": "%2e%2e/a", "escaped": True}, "path"),
        ("mkdir", [], "body"),
    ],
)
async def test_change__that_is_wrong_names_its_field(
    *,
    http: aiohttp.ClientSession,
    upstream: Upstream,
    host: Host,
    operation: str,
    body: Any,
    field: str,
) -> None:
    async with http.post(f"{PLACE}/{operation}", json=body) as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["details"]["field"]) == (400, field)
    assert (host.seen, asked(upstream)) == ([], [])


async def test_upload__of_a_form_is_a_file_at_a_time(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host
) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("note", "no file")
    form.add_field("one", b"\r\n--x\r\n" * 50_000, filename="sub/one.bin")
    form.add_field("two", b"", filename='q"uote ü.txt')
    async with http.post(f"{PLACE}/upload", params={"path": "in"}, data=form) as answer:
        told = await answer.json()
    assert (answer.status, told["files"], len(told["items"])) == (201, 2, 2)
    first, second = host.seen
    assert first["target"].endswith("/workspace/file?path=in/sub/one.bin")
    assert first["body"] == b"\r\n--x\r\n" * 50_000
    assert second["body"] == b""
    assert [one.paths for one in asked(upstream)] == [
        ["in/sub/one.bin"], ["in/q%22uote%20%C3%BC.txt"]
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", "..\\..\\out"])
async def test_upload__a_name_that_leads_out_is_refused(
    http: aiohttp.ClientSession, host: Host, name: str
) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("f", b"x", filename=name)
    async with http.post(f"{PLACE}/upload", data=form) as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["details"]["field"]) == (400, "filename")
    assert host.seen == []


@pytest.mark.parametrize(
    "body", [b"", b"--b\r\n", b"--b\r\nContent-Disposition: form-data; name=x; filename=y\r\n\r\nz",
             b"x" * 20_000, b"--b--\r\n"]
)  # fmt: skip
async def test_upload__of_a_form_that_breaks_off(
    http: aiohttp.ClientSession, host: Host, body: bytes
) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    async with http.post(f"{PLACE}/upload", data=body, headers=kind) as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["details"]["field"]) == (400, "body")
    assert host.seen == []


async def test_upload__of_a_tree_and_of_one_file(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host
) -> None:
    tar = {"Content-Type": "application/x-tar"}
    async with http.post(f"{PLACE}/upload?path=in", data=b"tar", headers=tar) as answer:
        assert answer.status == 201
    async with http.post(f"{PLACE}/upload?path=in/one", data=b"raw") as answer:
        assert (answer.status, (await answer.json())["files"]) == (201, 1)
    tree, one = host.seen
    assert (tree["method"], tree["headers"]["content-type"]) == ("POST", "application/x-tar")
    assert tree["target"].endswith("/workspace/upload?path=in")
    assert (one["method"], one["body"]) == ("PUT", b"raw")
    async with http.post(f"{PLACE}/upload", data=b"raw") as answer:
        assert answer.status == 415


async def test_body__has_its_own_limit(front: Front, upstream: Upstream, host: Host) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000

    async with front(max_upload_bytes=1_000_000) as http:
        async with http.put(f"{PLACE}/file?path=a", data=b"x" * 1_000_001) as answer:
            assert answer.status == 413
        assert (upstream.seen, host.taken) == ([], 0)
        # it may see the answer or, while it goes on sending, the closed connection
        with contextlib.suppress(aiohttp.ClientError):
            async with http.put(f"{PLACE}/file?path=a", data=endless()) as answer:
                assert (answer.status, await code_of(answer)) == (413, "too_large")
    await asyncio.wait_for(host.cut.wait(), 30)
    assert host.seen == []


async def test_sender__that_leaves_leaves_no_whole_file(
    http: aiohttp.ClientSession, host: Host
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        await asyncio.wait_for(host.some.wait(), 30)
        raise RuntimeError("left")

    with pytest.raises(aiohttp.ClientError):
        await http.put(f"{PLACE}/file?path=a", data=broken())
    await asyncio.wait_for(host.cut.wait(), 30)
    assert host.seen == []


@pytest.mark.parametrize(
    "code",
    [Code.VERSION_CONFLICT, Code.SENSITIVE_PATH, Code.WORKER_NOT_RUNNING, Code.LIMIT_REACHED],
)
async def test_refusal__of_a_change_is_told_on(
    http: aiohttp.ClientSession, host: Host, code: Code
) -> None:
    host.problem = problem(code)
    async with http.put(f"{PLACE}/file?path=a", data=b"x") as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["code"]) == (RENDERINGS[code].status, code)


@pytest.mark.parametrize("known_by", ["control_plane", "manager"])
@pytest.mark.parametrize("operation", ["tree", "file", "download", "search"])
async def test_without_a_worker__the_control_plane_is_asked(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host, operation: str, known_by: str
) -> None:
    if known_by == "manager":
        host.problem = problem(Code.WORKER_NOT_RUNNING)
    else:
        upstream.ticket = problem(Code.WORKER_NOT_RUNNING)
    query = "path=%FF%26&name=x&depth=2" if operation != "file" else "path=%FF%26&inline=1"
    range_ = {"Range": "bytes=1-2"}
    async with http.get(f"{PLACE}/{operation}?{query}", headers=range_) as answer:
        assert (answer.status, json.loads(await answer.read())) == (200, {"ok": True})
    seen = upstream.seen[-1]
    assert seen.target.startswith(f"{PLACE}/{operation}?path=%25FF%2526&escaped=1&inline=")
    assert ("depth=2" in seen.target) == (operation == "tree")
    assert seen.headers["range"] == "bytes=1-2"
    assert "x-berth-identity" in seen.headers


async def test_without_a_worker__changes_are_refused(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host
) -> None:
    upstream.ticket = problem(Code.WORKSPACE_READ_ONLY)
    async with http.put(f"{PLACE}/file?path=a", data=b"x") as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["code"]) == (409, "workspace_read_only")
    assert len(upstream.seen) == 1
