"""Commands through the gateway: by ticket, as they come."""

import asyncio
import json
from pathlib import Path

import aiohttp
import msgspec
import pytest

from contracts.errors import RENDERINGS, Code
from contracts.tickets import AskTicket
from gateway.routes import exec as commands
from gateway.routes import terminal
from tests.fixtures.upstream import Upstream
from tests.gateway.terminal_host import EXEC, SESSION, TTY, Host, host, problem

__all__ = ["host"]


async def test_command__passes_as_it_is(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host
) -> None:
    body = {"command": ["ls", "-l"], "timeout_seconds": 5}
    async with http.post(EXEC, json=body) as answer:
        assert (answer.status, await answer.read()) == (200, b'{"exit_code":0}')
    (seen,) = host.seen
    assert json.loads(seen["body"]) == body
    assert seen["headers"]["x-berth-ticket"] == "btk_one"
    assert not seen["headers"].keys() & {"authorization", "x-berth-identity"}
    (asked,) = upstream.seen
    assert msgspec.json.decode(asked.body, type=AskTicket).audience == "terminal.exec"


@pytest.mark.parametrize("code", [Code.FORBIDDEN, Code.WORKER_NOT_RUNNING, Code.VALIDATION])
async def test_command__that_is_refused_is_told_so(
    http: aiohttp.ClientSession, upstream: Upstream, host: Host, code: Code
) -> None:
    if code is Code.VALIDATION:
        host.problem = problem(code)
    else:
        upstream.ticket = problem(code)
    async with http.post(EXEC, json={"command": "ls"}) as answer:
        assert answer.status == RENDERINGS[code].status


async def test_command__of_another_method_or_too_large_is_refused(
    http: aiohttp.ClientSession, host: Host
) -> None:
    async with http.get(EXEC) as answer:
        assert answer.status == 405
    async with http.post(EXEC, data=b"x" * (commands.BODY_BYTES + 1)) as answer:
        assert answer.status == 413
    assert host.seen == []


async def test_command__is_waited_for_as_long_as_one_may_take(
    http: aiohttp.ClientSession, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.silent = True
    monkeypatch.setattr(commands, "ANSWER_SECONDS", 1.0)
    async with asyncio.timeout(30), http.post(EXEC, json={"command": "ls"}) as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["detail"]) == (504, "the command did not answer in time")
    await asyncio.wait_for(host.left.wait(), 30)


def test_routes__are_in_the_description_of_the_api() -> None:
    document = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_bytes())
    for method, route, path in (("get", terminal.ROUTE, TTY), ("post", commands.ROUTE, EXEC)):
        assert method in document["paths"][route]
        assert route.format(session_id=SESSION) == path
