"""Terminals and commands of a real manager: only by ticket, as they come, ended when left."""

import signal

import httpx
import msgspec
import pytest

from chassis.dialling import Refused
from chassis.ids import new_id
from contracts.errors import Code, Problem
from contracts.terminals import MANAGER_EXEC, MANAGER_TTY, CloseCode
from contracts.tickets import TICKET_HEADER, Audience, Redeemed
from contracts.workers import WorkerGrant
from executor_manager.containers.process import ProcessBackend
from tests.executor_manager.managers import Desk, Manager, Start, container_of, until
from tests.fixtures.viewer import watching


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
    return await manager.address() + MANAGER_TTY.format(worker_id=worker.worker_id)


def ticket(
    desk: Desk, worker: WorkerGrant, audience: Audience = "terminal.write", *, epoch: int = 1
) -> dict[str, str]:
    token = f"btk_{new_id()}"
    desk.tickets[token] = Redeemed(worker_id=worker.worker_id, epoch=epoch, audience=audience)
    return {TICKET_HEADER: token}


async def refusal(url: str, headers: dict[str, str]) -> tuple[int, str]:
    with pytest.raises(Refused) as refused:
        async with watching(url, headers=headers):
            pass
    return refused.value.status, msgspec.json.decode(refused.value.body, type=Problem).code


@pytest.mark.parametrize(
    ("audience", "mode"), [("terminal.write", "write"), ("terminal.read", "read")]
)
async def test_terminal__is_as_the_ticket_says_whatever_the_query_does(
    url: str, desk: Desk, worker: WorkerGrant, audience: Audience, mode: str
) -> None:
    headers = ticket(desk, worker, audience)
    async with watching(f"{url}?terminal=a&mode=write&columns=99", headers=headers) as viewer:
        await viewer.sees(f"/tty?terminal=a&columns=99&mode={mode}")
        await viewer.enter(b"\x00typed\xff")
        await viewer.sees(b"\x00typed\xff")


async def test_ticket__is_good_once(url: str, desk: Desk, worker: WorkerGrant) -> None:
    headers = ticket(desk, worker)
    async with watching(url, headers=headers):
        pass
    assert await refusal(url, headers) == (403, Code.TICKET_INVALID)


async def test_other_tickets__open_nothing(url: str, desk: Desk, worker: WorkerGrant) -> None:
    other = desk.offer()
    await desk.ready(other)
    assert await refusal(url, {}) == (401, Code.UNAUTHENTICATED)
    assert await refusal(url, ticket(desk, other)) == (403, Code.TICKET_INVALID)
    for audience in ("workspace.read", "terminal.exec"):
        assert await refusal(url, ticket(desk, worker, audience)) == (403, Code.TICKET_INVALID)
    assert await refusal(url, ticket(desk, worker, epoch=2)) == (409, Code.STALE_EPOCH)


async def test_refusal_of_the_executor__is_told_on(
    url: str, desk: Desk, worker: WorkerGrant
) -> None:
    answer = await refusal(f"{url}?terminal=none", ticket(desk, worker))
    assert answer == (404, Code.NOT_FOUND)


async def test_stopped_worker__has_no_terminal(url: str, desk: Desk, worker: WorkerGrant) -> None:
    desk.command(worker, "stop")
    await until(lambda: desk.changed(worker, "stopped"), "stopped")
    assert await refusal(url, ticket(desk, worker)) == (409, Code.WORKER_NOT_RUNNING)


async def test_a_link_to_another_workers_socket__is_not_followed(
    url: str, desk: Desk, backend: ProcessBackend, worker: WorkerGrant
) -> None:
    other = desk.offer()
    await desk.ready(other)
    here = backend.address(await container_of(backend, worker))
    here.unlink()
    here.symlink_to(backend.address(await container_of(backend, other)))
    assert await refusal(url, ticket(desk, worker)) == (503, Code.DEPENDENCY_UNAVAILABLE)


async def test_viewer_that_leaves__is_gone_for_the_executor_too(
    url: str, desk: Desk, backend: ProcessBackend, worker: WorkerGrant
) -> None:
    container = await container_of(backend, worker)
    async with watching(url, headers=ticket(desk, worker)) as viewer:
        await viewer.sees("/tty?")
    await until((container.directories.workspace / "viewer_left").exists, "left")


async def test_manager_that_restarts__tells_viewers_to_come_back(
    url: str, manager: Manager, desk: Desk, worker: WorkerGrant
) -> None:
    async with watching(url, headers=ticket(desk, worker)) as viewer:
        await viewer.sees("/tty?")
        await manager.kill(signal.SIGTERM)
        assert (await viewer.is_closed()).code == CloseCode.RESTARTING


async def test_command__passes_for_its_ticket_alone(
    manager: Manager, desk: Desk, worker: WorkerGrant
) -> None:
    url = await manager.address() + MANAGER_EXEC.format(worker_id=worker.worker_id)
    body = {"command": ["ls"], "cwd": "src"}
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        wrong = await http.post(url, json=body, headers=ticket(desk, worker))
        right = await http.post(url, json=body, headers=ticket(desk, worker, "terminal.exec"))
    assert wrong.status_code == 403
    assert (right.status_code, right.json()) == (200, {"asked": body})
