"""What opens a terminal or runs a command is in no log of the gateway: neither key nor ticket."""

import asyncio
import base64
import io
from collections.abc import Callable, Generator

import aiohttp
import pytest

from chassis.dialling import Refused
from chassis.ids import new_id
from chassis.logs import configure_logging
from contracts.errors import Code
from contracts.tickets import Ticket
from gateway.handshake import KEY_SUBPROTOCOL, SUBPROTOCOL
from tests.fixtures.upstream import KEY, Upstream
from tests.fixtures.viewer import watching
from tests.gateway.terminal_host import EXEC, GOOD, Host, host, problem, url

__all__ = ["host", "url"]

ENCODED = base64.urlsafe_b64encode(KEY.encode()).rstrip(b"=").decode()
TICKET = "btk_one"


@pytest.fixture
def logged() -> Generator[Callable[[], str]]:
    """All that was logged, at the most talkative level."""
    stream = io.StringIO()
    configure_logging("test", "debug", stream=stream)
    yield stream.getvalue
    configure_logging("test")


async def test_passing__tells_neither(
    http: aiohttp.ClientSession, url: str, host: Host, logged: Callable[[], str]
) -> None:
    async with watching(url, headers=GOOD) as viewer:
        await viewer.enter("a")
        await viewer.sees("a")
    await asyncio.wait_for(host.left.wait(), 30)
    protocols = (SUBPROTOCOL, KEY_SUBPROTOCOL + ENCODED)
    async with (
        aiohttp.ClientSession() as page,
        page.ws_connect(url, protocols=protocols) as socket,
    ):
        await socket.send_bytes(b"page")
        assert await asyncio.wait_for(socket.receive_bytes(), 30) == b"page"
    async with http.post(EXEC, json={"command": "ls"}) as answer:
        assert answer.status == 200
    assert host.seen[0]["headers"]["x-berth-ticket"] == TICKET
    told = logged()
    assert told.count('"request"') >= 3
    assert not [secret for secret in (KEY, ENCODED, TICKET) if secret in told]


@pytest.mark.parametrize("away", [True, False])
async def test_failing__tells_neither(
    http: aiohttp.ClientSession,
    url: str,
    upstream: Upstream,
    host: Host,
    logged: Callable[[], str],
    *,
    away: bool,
) -> None:
    host.problem = problem(Code.TICKET_INVALID)
    if away:
        upstream.ticket = Ticket(
            ticket=TICKET,
            worker_id=new_id(),
            manager_url="http://127.0.0.1:1",
            expires_in_seconds=1,
        )
    with pytest.raises(Refused) as refused:
        async with watching(url, headers=GOOD):
            pass
    async with http.post(EXEC, json={"command": "ls"}) as answer:
        said = await answer.text()
    told = logged() + said + refused.value.body.decode()
    assert '"request"' in told
    assert not [secret for secret in (KEY, ENCODED, TICKET) if secret in told]
