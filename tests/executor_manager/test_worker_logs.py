"""What a container printed last, from a real manager: by ticket, bounded, of an ended one too."""

import httpx
import pytest

from chassis.ids import new_id
from contracts.errors import Code
from contracts.tickets import MANAGER_WORKER_LOGS, MOST_LOG_BYTES, TICKET_HEADER, Audience, Redeemed
from contracts.workers import WorkerGrant
from executor_manager.containers import keeper
from executor_manager.containers.process import ProcessBackend
from tests.executor_manager.managers import Desk, Manager, Start, container_of, until


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
    return await manager.address() + MANAGER_WORKER_LOGS.format(worker_id=worker.worker_id)


def ticket(
    desk: Desk, worker: WorkerGrant, audience: Audience = "worker.logs", *, epoch: int = 1
) -> dict[str, str]:
    token = f"btk_{new_id()}"
    desk.tickets[token] = Redeemed(worker_id=worker.worker_id, epoch=epoch, audience=audience)
    return {TICKET_HEADER: token}


async def asked(url: str, headers: dict[str, str], size: object = 4096) -> tuple[int, bytes, str]:
    """Status, body, and the problem's code."""
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        answer = await http.get(f"{url}?bytes={size}", headers=headers)
    problem = "" if answer.is_success else answer.json()["code"]
    return answer.status_code, answer.content, problem


async def printed(backend: ProcessBackend, worker: WorkerGrant, text: bytes) -> None:
    container = await container_of(backend, worker)
    (container.directories.workspace.parent / keeper.LOG).write_bytes(text)


async def test_log__its_end_comes_once_for_a_ticket(
    url: str, desk: Desk, backend: ProcessBackend, worker: WorkerGrant
) -> None:
    await printed(backend, worker, b"first\n" + b"x" * 5000 + b"\nlast \xff\n")
    headers = ticket(desk, worker)
    status, body, _ = await asked(url, headers, 4)
    assert (status, len(body)) == (200, 4)
    status, _, code = await asked(url, headers)
    assert (status, code) == (403, Code.TICKET_INVALID)
    status, body, _ = await asked(url, ticket(desk, worker), MOST_LOG_BYTES)
    assert (status, body[:6]) == (200, b"first\n")
    assert b"x\nlast \xff\n" in body, "and what it has printed since"


@pytest.mark.parametrize("size", [0, -1, MOST_LOG_BYTES + 1, "many"])
async def test_log__no_more_than_its_bounds(
    url: str, desk: Desk, worker: WorkerGrant, size: object
) -> None:
    headers = ticket(desk, worker)
    status, _, code = await asked(url, headers, size)
    assert (status, code) == (400, Code.VALIDATION)
    assert (await asked(url, headers))[0] == 200, "the ticket is not spent"


async def test_log__not_without_a_ticket_of_its_own(
    url: str, desk: Desk, worker: WorkerGrant
) -> None:
    other = desk.offer()
    await desk.ready(other)
    for headers, told in [
        ({}, (401, Code.UNAUTHENTICATED)),
        ({TICKET_HEADER: "btk_none"}, (403, Code.TICKET_INVALID)),
        (ticket(desk, other), (403, Code.TICKET_INVALID)),
        (ticket(desk, worker, "workspace.read"), (403, Code.TICKET_INVALID)),
        (ticket(desk, worker, epoch=2), (409, Code.STALE_EPOCH)),
    ]:
        status, _, code = await asked(url, headers)
        assert (status, code) == told


async def test_log__of_one_that_has_stopped_is_there_while_its_container_is(
    url: str, desk: Desk, backend: ProcessBackend, worker: WorkerGrant
) -> None:
    await printed(backend, worker, b"the end\n")
    desk.command(worker, "stop")
    await until(lambda: desk.changed(worker, "stopped"), "stopped")
    status, body, _ = await asked(url, ticket(desk, worker))
    assert status == 200
    assert body.startswith(b"the end\n")
    desk.command(worker, "remove", forced=True)
    await until(lambda: desk.changed(worker, "removed"), "removed")
    status, _, code = await asked(url, ticket(desk, worker))
    assert (status, code) == (404, Code.WORKER_NOT_FOUND)
