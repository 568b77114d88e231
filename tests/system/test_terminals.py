"""Terminals and commands through every service: real shells, and what restarts do to them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import msgspec
import pytest

from chassis.dialling import Refused
from cli.client import ApiClient, Place
from cli.embedded.secret_files import read_secret
from contracts.errors import Problem
from contracts.terminals import COME_BACK, Attached, CloseCode, Exited
from control_plane.bootstrap import bootstrap
from tests.fixtures.deadlines import eventually
from tests.fixtures.stack import EmbeddedStack
from tests.fixtures.viewer import Watching, watching
from tests.system.visitor import Visitor, script

ABNORMAL = 1006

SETTINGS = {"control-plane": {"lease_seconds": "60", "idle_after_seconds": "600"}}
"""On a busy machine a manager takes long to come back: it must not lose its workers meanwhile."""


@pytest.fixture
async def session(visitor: Visitor) -> UUID:
    """It has a file, and its worker waits for the next message."""
    shadow = await visitor.send(script({"shell": "echo agent > made"}, {"text": "made"}))
    assert await shadow.closed() == "succeeded"
    return visitor.session_of(shadow)


def tty(stack: EmbeddedStack, session: UUID) -> str:
    return f"{stack.api.url}/api/v1/session-workers/{session}/tty"


def as_key(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def refusal(url: str, key: str) -> Problem:
    with pytest.raises(Refused) as refused:
        async with watching(url, headers=as_key(key)):
            pass
    return msgspec.json.decode(refused.value.body, type=Problem)


@asynccontextmanager
async def again(url: str, key: str) -> AsyncGenerator[Watching]:
    """Connects until it can be done, as clients do."""
    async with AsyncExitStack() as held:

        async def connected() -> Watching | None:
            try:
                return await held.enter_async_context(watching(url, headers=as_key(key)))
            except (Refused, OSError, TimeoutError):
                return None

        yield await eventually(connected, "it connects again")


async def test_terminal__is_in_the_workspace_and_runs_leave_it(
    stack: EmbeddedStack, visitor: Visitor, session: UUID
) -> None:
    async with watching(tty(stack, session), headers=as_key(stack.key)) as viewer:
        assert (await viewer.is_told(Attached)).writes
        await viewer.enter("cat made; x=4''2; echo person > mine\r")
        await viewer.sees("agent")
        shadow = await visitor.send(script({"shell": "cat mine > seen"}), session=session)
        await visitor.succeeded(shadow)
        await viewer.enter("cat seen; echo x=$x''.; exit 5\r")
        await viewer.sees("person")
        await viewer.sees("x=42.")
        assert (await viewer.is_told(Exited)).exit_code == 5
        assert (await viewer.is_closed()).code == CloseCode.ENDED


@pytest.mark.bwrap
async def test_terminal__is_one_of_its_sessions_sandbox(
    stack: EmbeddedStack, session: UUID
) -> None:
    async with watching(tty(stack, session), headers=as_key(stack.key)) as viewer:
        await viewer.enter("tty; echo of $(cat /proc/1/comm), $(ls /dev/pts | wc -w) here''.\r")
        shown = await viewer.sees("here.")
    # itself, and what makes them
    assert b"/dev/pts/0\r\n" in shown
    assert b"of bwrap, 2 here." in shown


@pytest.mark.parametrize("service", ["gateway", "executor-manager"])
async def test_service_that_is_killed__costs_the_connection_alone(
    stack: EmbeddedStack, session: UUID, service: str
) -> None:
    async with watching(tty(stack, session), headers=as_key(stack.key)) as viewer:
        await viewer.enter("x=4''2; echo rea''dy\r")
        await viewer.sees("ready")
        former = await stack.kill9(service)
        closed = await viewer.is_closed()
        assert closed.code in {*COME_BACK, ABNORMAL}
    await stack.back(service, former)
    async with again(tty(stack, session), stack.key) as viewer:
        await viewer.sees("ready")
        await viewer.enter("echo x=$x''.\r")
        shown = await viewer.sees("x=42.")
        assert shown.count(b"ready") == 1, shown


async def test_stop__closes_it_and_says_what_to_do(stack: EmbeddedStack, session: UUID) -> None:
    async with watching(tty(stack, session), headers=as_key(stack.key)) as viewer:
        await viewer.enter("echo rea''dy\r")
        await viewer.sees("ready")
        asked = await stack.api.http.post(f"/api/v1/session-workers/{session}/stop")
        assert asked.status_code == 202
        assert (await viewer.is_closed(30)).code == CloseCode.WORKER_GONE

    async def said() -> Problem | None:
        problem = await refusal(tty(stack, session), stack.key)
        return problem if problem.code == "worker_not_running" else None

    problem = await eventually(said, "it is said to have stopped")
    assert problem.status == 409
    assert "send a message" in problem.detail


async def test_other_project__finds_no_session(stack: EmbeddedStack, session: UUID) -> None:
    database = read_secret(stack.home / "run" / "database-url")
    made = await bootstrap(database, project="others-tty", user="stranger-tty", key_name="theirs")
    key = msgspec.json.decode(made)["key"]
    problem = await refusal(tty(stack, session), key)
    assert (problem.status, problem.code) == (404, "session_not_found")
    async with ApiClient(Place(url=stack.api.url, key=key)) as stranger:
        path = f"/api/v1/session-workers/{session}/tty/exec"
        answer = await stranger.http.post(path, json={"command": "id"})
    assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")


async def test_command__runs_where_the_agent_did(stack: EmbeddedStack, session: UUID) -> None:
    path = f"/api/v1/session-workers/{session}/tty/exec"
    answer = await stack.api.http.post(path, json={"command": "cat made; exit 4"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["stdout"] == "agent\n"
    assert answer.json()["exit_code"] == 4
    answer = await stack.api.http.post(path, json={"command": []})
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")


async def test_many__come_and_go_and_leave_nothing(stack: EmbeddedStack, session: UUID) -> None:
    async def one(number: int) -> None:
        url = f"{tty(stack, session)}?terminal=t{number % 4}"
        async with watching(url, headers=as_key(stack.key)) as viewer:
            await viewer.enter(f"echo n{number}''n\r")
            await viewer.sees(f"n{number}n", 30)

    for _ in range(3):
        await asyncio.gather(*(one(number) for number in range(32)))
