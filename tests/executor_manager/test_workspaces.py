"""Bytes of a workspace, from a real manager: only by ticket, as they come, ended when left."""

import os
import signal
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from chassis.ids import new_id
from contracts.errors import Code
from contracts.tickets import TICKET_HEADER, Audience, Redeemed
from contracts.workers import WorkerGrant
from contracts.workspace_files import MANAGER_WORKSPACE
from executor_manager.containers.process import ProcessBackend
from tests.executor_manager.managers import (
    Desk,
    Manager,
    Start,
    container_of,
    executor_pid,
    until,
)


@pytest.fixture
async def manager(start: Start) -> Manager:
    return await start(supervision_interval_seconds=60)


@pytest.fixture
async def worker(manager: Manager, desk: Desk) -> WorkerGrant:
    worker = desk.offer()
    await desk.ready(worker)
    return worker


@pytest.fixture
async def url(manager: Manager, worker: WorkerGrant) -> str:
    return await manager.address() + MANAGER_WORKSPACE.format(
        worker_id=worker.worker_id, operation="file"
    )


def ticket(
    desk: Desk,
    worker: WorkerGrant,
    *,
    epoch: int = 1,
    audience: Audience = "workspace.read",
    withheld: Sequence[str] = (),
) -> dict[str, str]:
    token = f"btk_{new_id()}"
    desk.tickets[token] = Redeemed(
        worker_id=worker.worker_id, epoch=epoch, audience=audience, withheld=list(withheld)
    )
    return {TICKET_HEADER: token}


async def asked(url: str, headers: dict[str, str], path: str = "one.txt") -> tuple[int, bytes, str]:
    """Status, body, and the problem's code."""
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        answer = await http.get(f"{url}?path={path}", headers=headers)
    problem = "" if answer.is_success else answer.json()["code"]
    return answer.status_code, answer.content, problem


async def test_manager__tells_gateways_where_it_is(start: Start, desk: Desk) -> None:
    await start(advertise_url="http://here:1")
    await until(lambda: desk.registrations, "registered")
    assert desk.registrations[0].url == "http://here:1"


async def test_file__comes_once_for_a_ticket(
    url: str, desk: Desk, backend: ProcessBackend, worker: WorkerGrant
) -> None:
    content = bytes(range(256)) * 8192
    container = await container_of(backend, worker)
    (container.directories.workspace / "one.txt").write_bytes(content)
    headers = ticket(desk, worker)
    assert await asked(url, headers) == (200, content, "")
    status, _, code = await asked(url, headers)
    assert (status, code) == (403, Code.TICKET_INVALID)


async def test_no_ticket__is_unauthenticated(url: str) -> None:
    status, _, code = await asked(url, {})
    assert (status, code) == (401, Code.UNAUTHENTICATED)


async def test_ticket_of_another_worker__is_refused(
    url: str, desk: Desk, worker: WorkerGrant
) -> None:
    other = desk.offer()
    await desk.ready(other)
    status, _, code = await asked(url, ticket(desk, other))
    assert (status, code) == (403, Code.TICKET_INVALID)


async def test_ticket_of_another_epoch__is_refused(
    url: str, desk: Desk, worker: WorkerGrant
) -> None:
    status, _, code = await asked(url, ticket(desk, worker, epoch=2))
    assert (status, code) == (409, Code.STALE_EPOCH)


async def test_refusal_of_the_executor__is_told_on(
    url: str, desk: Desk, worker: WorkerGrant
) -> None:
    status, body, code = await asked(url, ticket(desk, worker), "gone")
    assert (status, code) == (404, Code.NOT_FOUND)
    assert b'"gone"' in body


async def test_stopped_worker__has_no_files(
    url: str, desk: Desk, manager: Manager, worker: WorkerGrant
) -> None:
    desk.command(worker, "stop")
    await until(lambda: desk.changed(worker, "stopped"), "stopped")
    status, _, code = await asked(url, ticket(desk, worker))
    assert (status, code) == (409, Code.WORKER_NOT_RUNNING)


async def test_dead_executor__is_away(
    url: str, desk: Desk, backend: ProcessBackend, worker: WorkerGrant
) -> None:
    """Its supervision looks seldom here."""
    container = await container_of(backend, worker)
    os.kill(executor_pid(container), signal.SIGKILL)
    status, _, code = await asked(url, ticket(desk, worker))
    assert (status, code) == (503, Code.DEPENDENCY_UNAVAILABLE)


async def test_a_link_to_another_workers_socket__is_not_followed(
    url: str, desk: Desk, backend: ProcessBackend, worker: WorkerGrant
) -> None:
    """What runs as the executor owns the directory of its socket."""
    other = desk.offer()
    await desk.ready(other)
    here = backend.address(await container_of(backend, worker))
    here.unlink()
    here.symlink_to(backend.address(await container_of(backend, other)))
    status, _, code = await asked(url, ticket(desk, worker))
    assert (status, code) == (503, Code.DEPENDENCY_UNAVAILABLE)


async def test_executor_that_breaks_off__is_no_whole_file(
    url: str, desk: Desk, worker: WorkerGrant
) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await asked(url, ticket(desk, worker), "cut")


async def test_reader_that_leaves__ends_the_reading(
    url: str, desk: Desk, backend: ProcessBackend, worker: WorkerGrant
) -> None:
    container = await container_of(backend, worker)
    async with (
        httpx.AsyncClient(trust_env=False, timeout=20) as http,
        http.stream("GET", f"{url}?path=endless", headers=ticket(desk, worker)) as answer,
    ):
        async for chunk in answer.aiter_raw():
            assert chunk[:1] == b"x"
            break
    await until((container.directories.workspace / "reader_left").exists, "left")


async def test_write__goes_on_with_what_is_withheld_and_nothing_of_the_senders(
    url: str, desk: Desk, worker: WorkerGrant
) -> None:
    async def sent() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100_000

    headers = ticket(desk, worker, audience="workspace.write", withheld=[".env", "*.key,%"])
    mine = {"If-Match": '"e"', "Berth-Withheld": "", "Cookie": "a=b", "Authorization": "Bearer x"}
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        answer = await http.put(f"{url}?path=a%FF", content=sent(), headers=headers | mine)
    told = answer.json()
    assert (told["path"], told["taken"]) == ("/workspace/file?path=a%FF", 10_000_000)
    assert told["headers"]["berth-withheld"] == ".env,*.key%2C%25"
    assert told["headers"]["if-match"] == '"e"'
    assert not told["headers"].keys() & {"cookie", "authorization", TICKET_HEADER}


async def test_ticket__to_read_is_none_to_write(url: str, desk: Desk, worker: WorkerGrant) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        for call in ("PUT", "DELETE"):
            answer = await http.request(call, f"{url}?path=a", headers=ticket(desk, worker))
            assert (answer.status_code, answer.json()["code"]) == (403, Code.TICKET_INVALID)
        other = url.removesuffix("/file")
        for call, operation, status in (("POST", "tree", 405), ("GET", "nothing", 404)):
            answer = await http.request(call, f"{other}/{operation}", headers=ticket(desk, worker))
            assert answer.status_code == status
