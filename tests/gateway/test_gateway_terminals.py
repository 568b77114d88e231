"""Terminals and commands through the gateway: known, by ticket, as they come, looked at again."""

import asyncio
import base64
import contextlib
from typing import cast

import aiohttp
import msgspec
import pytest
from litestar.types import WebSocketScope

from chassis.dialling import Refused
from chassis.errors import BerthError
from chassis.ids import new_id
from contracts.errors import RENDERINGS, Code, Problem
from contracts.terminals import CloseCode
from contracts.tickets import AskTicket, Ticket
from gateway.handshake import KEY_SUBPROTOCOL, SUBPROTOCOL, handshake_of
from gateway.routes import terminal
from tests.fixtures.clock import ManualClock
from tests.fixtures.gateway import Front
from tests.fixtures.processes import met
from tests.fixtures.upstream import KEY, Upstream
from tests.fixtures.viewer import watching
from tests.gateway.terminal_host import GOOD, TTY, Host, host, problem, url

__all__ = ["host", "url"]

MIB = 1024 * 1024


async def test_terminal__passes_messages_as_they_are(url: str, host: Host) -> None:
    async with watching(f"{url}?terminal=a&columns=90&mode=write", headers=GOOD) as viewer:
        await viewer.enter(b"\x00\xff typed")
        await viewer.sees(b"\x00\xff typed")
        await viewer.socket.send('{"type":"read_only"}', within=30)
        await viewer.until(lambda: viewer.told, "told")
    await asyncio.wait_for(host.left.wait(), 30)


async def test_ticket__is_asked_for_what_the_caller_may_and_is_all_that_the_manager_sees(
    url: str, upstream: Upstream, host: Host
) -> None:
    assert isinstance(upstream.ticket, Ticket)
    upstream.tickets["terminal.write"] = problem(Code.FORBIDDEN)
    headers = {**GOOD, "Cookie": "a=b", "X-Berth-Identity": "me"}
    async with watching(f"{url}?terminal=a&rows=9&other=x", headers=headers) as viewer:
        await viewer.enter("x")
        await viewer.sees("x")
    asked = [msgspec.json.decode(one.body, type=AskTicket).audience for one in upstream.seen]
    assert asked == ["terminal.write", "terminal.read"]
    (seen,) = host.seen
    place, _, query = seen["target"].partition("?")
    assert place == f"/internal/v1/workers/{upstream.ticket.worker_id}/tty"
    assert set(query.split("&")) == {"terminal=a", "rows=9"}
    assert seen["headers"]["x-berth-ticket"] == "btk_one"
    assert not seen["headers"].keys() & {"authorization", "x-berth-identity", "cookie", "origin"}


async def test_mode__that_was_asked_for_is_not_lowered(
    url: str, upstream: Upstream, host: Host
) -> None:
    upstream.tickets["terminal.write"] = problem(Code.FORBIDDEN)
    with pytest.raises(Refused) as refused:
        async with watching(f"{url}?mode=write", headers=GOOD):
            pass
    assert refused.value.status == 403
    async with watching(f"{url}?mode=read", headers=GOOD):
        pass
    assert len(upstream.seen) == 2


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer bk_somebody-else"}])
async def test_stranger__gets_no_terminal(
    url: str, upstream: Upstream, host: Host, headers: dict[str, str]
) -> None:
    with pytest.raises(Refused) as refused:
        async with watching(url, headers=headers):
            pass
    assert refused.value.status == 401
    assert (upstream.seen, host.seen) == ([], [])


async def test_key__may_come_as_a_subprotocol_and_is_not_sent_back(url: str, host: Host) -> None:
    encoded = base64.urlsafe_b64encode(KEY.encode()).rstrip(b"=").decode()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            url, protocols=(SUBPROTOCOL, KEY_SUBPROTOCOL + encoded), origin=url.partition("/api")[0]
        ) as socket,
    ):
        assert socket.protocol == SUBPROTOCOL
        await socket.send_bytes(b"page")
        assert await asyncio.wait_for(socket.receive_bytes(), 30) == b"page"
    assert KEY not in str(host.seen)


async def test_page__that_is_refused_can_read_why(url: str, upstream: Upstream, host: Host) -> None:
    upstream.ticket = problem(Code.WORKER_NOT_RUNNING)
    encoded = base64.urlsafe_b64encode(KEY.encode()).rstrip(b"=").decode()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=(SUBPROTOCOL, KEY_SUBPROTOCOL + encoded)) as socket,
    ):
        message = await asyncio.wait_for(socket.receive(), 30)
    assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 4409)
    assert message.extra == "worker_not_running: so it is"


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "https://127.0.0.1", "file://"]
)
async def test_origin__of_another_site_is_refused(
    url: str, upstream: Upstream, host: Host, origin: str
) -> None:
    with pytest.raises(Refused) as refused:
        async with watching(url, headers={**GOOD, "Origin": origin}):
            pass
    assert refused.value.status == 403
    assert upstream.seen == []


def test_origin__that_is_none_is_not_that_of_a_host_without_a_name() -> None:
    headers = [(b"host", b""), (b"origin", b"null")]
    scope = {"type": "websocket", "headers": headers, "subprotocols": [], "query_string": b""}
    with pytest.raises(BerthError) as refused:
        handshake_of(cast("WebSocketScope", scope), [])
    assert refused.value.code is Code.FORBIDDEN


async def test_origin__that_is_configured_may_come(front: Front, host: Host) -> None:
    async with front(cors_origins=["http://portal.example"]) as http:
        address = str(http._base_url).rstrip("/") + TTY
        async with watching(address, headers={**GOOD, "Origin": "http://portal.example"}):
            pass


@pytest.mark.parametrize(
    "path", ["/api/v1/sessions", "/elsewhere", "/api/v1//tty", "/internal/v1/x"]
)
async def test_other_path__has_no_websocket(http: aiohttp.ClientSession, path: str) -> None:
    with pytest.raises(Refused) as refused:
        async with watching(str(http._base_url).rstrip("/") + path, headers=GOOD):
            pass
    assert refused.value.status == 404


async def test_no_upgrade__is_told_what_it_is(http: aiohttp.ClientSession) -> None:
    async with http.get(TTY) as answer:
        assert answer.status == 400
        assert "WebSocket" in (await answer.json(content_type=None))["detail"]


@pytest.mark.parametrize("code", [Code.SESSION_NOT_FOUND, Code.WORKER_NOT_RUNNING])
async def test_refusal_of_a_ticket__is_told_on(
    url: str, upstream: Upstream, host: Host, code: Code
) -> None:
    upstream.ticket = problem(code)
    with pytest.raises(Refused) as refused:
        async with watching(url, headers=GOOD):
            pass
    told = msgspec.json.decode(refused.value.body, type=Problem)
    assert (refused.value.status, told.code) == (RENDERINGS[code].status, code)


@pytest.mark.parametrize(
    ("code", "status"),
    [(Code.RATE_LIMITED, 429), (Code.VALIDATION, 400), (Code.TICKET_INVALID, 503)],
)
async def test_refusal_of_the_host__is_told_on(
    url: str, host: Host, code: Code, status: int
) -> None:
    host.problem = problem(code)
    with pytest.raises(Refused) as refused:
        async with watching(url, headers=GOOD):
            pass
    assert refused.value.status == status


async def test_host_that_is_away__is_named(url: str, upstream: Upstream) -> None:
    upstream.ticket = Ticket(
        ticket="t", worker_id=new_id(), manager_url="http://127.0.0.1:1", expires_in_seconds=60
    )
    with pytest.raises(Refused) as refused:
        async with watching(url, headers=GOOD):
            pass
    assert refused.value.status == 503
    assert b"BERTH_ADVERTISE_URL" in refused.value.body


async def test_host_that_is_silent__is_not_waited_for_long(
    url: str, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "HANDSHAKE_SECONDS", 1.0)
    host.silent = True
    with pytest.raises(Refused) as refused:
        async with watching(url, headers=GOOD):
            pass
    assert refused.value.status == 504
    await asyncio.wait_for(host.left.wait(), 30)


async def test_end__comes_with_its_code_and_reason(url: str, host: Host) -> None:
    host.close = (CloseCode.WORKER_GONE, "the worker stops")
    async with watching(url, headers=GOOD) as viewer:
        closed = await viewer.is_closed()
    assert (closed.code, closed.reason) == (CloseCode.WORKER_GONE, "the worker stops")


async def test_viewer_that_takes_nothing__holds_the_host_up(url: str, host: Host) -> None:
    host.flood = True
    async with watching(url, headers=GOOD) as viewer:
        await viewer.sees("y")
        viewer.hold()
        held_at = -1
        async with asyncio.timeout(20):
            while host.sent != held_at:  # nothing tells that nothing goes on
                held_at = host.sent
                await asyncio.sleep(0.3)
        assert held_at < 32 * MIB
        viewer.go_on()
        before = viewer.count
        await viewer.until(lambda: viewer.count > before + 20 * MIB, "it goes on", 30)


async def test_host_that_takes_nothing__holds_the_viewer_up(url: str, host: Host) -> None:
    host.deaf = True
    sent = 0
    async with watching(url, headers=GOOD) as viewer:
        with contextlib.suppress(TimeoutError):
            while sent < 100 * MIB:
                await viewer.socket.send(b"p" * 65536, within=1.0)
                sent += 65536
    assert sent < 32 * MIB


async def test_viewer_that_takes_nothing_for_long__is_given_up(
    url: str, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.bridge.SEND_SECONDS", 0.5)
    host.flood = True
    async with watching(url, headers=GOOD) as viewer:
        await viewer.sees("y")
        viewer.hold()
        await asyncio.wait_for(host.left.wait(), 15)


async def test_message__that_is_too_long_ends_it(url: str, host: Host) -> None:
    async with watching(url, headers=GOOD) as viewer:
        await viewer.enter(b"x" * 200_000)
        assert (await viewer.is_closed()).code == 1009


@pytest.mark.parametrize(
    ("check", "code"),
    [
        (Code.FORBIDDEN, CloseCode.FORBIDDEN),
        (Code.STALE_EPOCH, CloseCode.WORKER_GONE),
        (Code.WORKER_NOT_RUNNING, CloseCode.WORKER_GONE),
        (Code.SESSION_NOT_FOUND, 4404),
    ],
)
async def test_check__that_fails_ends_it(
    front: Front, upstream: Upstream, host: Host, check: Code, code: int
) -> None:
    async with front(terminal_check_seconds=0.05) as http:
        address = str(http._base_url).rstrip("/") + TTY
        async with watching(address, headers=GOOD) as viewer:
            await viewer.enter("a")
            await viewer.sees("a")
            upstream.check = problem(check)
            assert (await viewer.is_closed()).code == code
    await asyncio.wait_for(host.left.wait(), 30)


async def test_key__that_is_revoked_ends_it(
    front: Front, upstream: Upstream, host: Host, clock: ManualClock
) -> None:
    async with front(terminal_check_seconds=0.05) as http:
        address = str(http._base_url).rstrip("/") + TTY
        async with watching(address, headers=GOOD) as viewer:
            await viewer.enter("a")
            await viewer.sees("a")
            upstream.active = False
            clock.now += 100
            assert (await viewer.is_closed()).code == CloseCode.UNAUTHENTICATED


async def test_stop__tells_viewers_to_come_back(front: Front, host: Host) -> None:
    stop = asyncio.Event()
    async with front(stop) as http:
        address = str(http._base_url).rstrip("/") + TTY
        async with watching(address, headers=GOOD) as viewer:
            await viewer.enter("a")
            await viewer.sees("a")
            stop.set()
            assert (await viewer.is_closed()).code == CloseCode.RESTARTING


async def test_caps__of_the_gateway_and_of_a_key(
    front: Front, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with front(most_terminals=1) as http:
        address = str(http._base_url).rstrip("/") + TTY
        async with watching(address, headers=GOOD):
            with pytest.raises(Refused) as refused:
                async with watching(address, headers=GOOD):
                    pass
            assert refused.value.status == 503
            monkeypatch.setattr(terminal, "MOST_FOR_A_KEY", 1)
            with pytest.raises(Refused) as refused:
                async with watching(address, headers=GOOD):
                    pass
            assert refused.value.status == 429
        await asyncio.wait_for(host.left.wait(), 30)


async def test_caps__count_who_is_not_yet_connected(front: Front, host: Host) -> None:
    host.silent = True
    async with front(most_terminals=1) as http:
        address = str(http._base_url).rstrip("/") + TTY
        first = asyncio.create_task(watching(address, headers=GOOD).__aenter__())
        await met(lambda: host.seen, "the first one is on its way")
        with pytest.raises(Refused) as refused:
            async with watching(address, headers=GOOD):
                pass
        assert refused.value.status == 503
        assert len(host.seen) == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_limit__counts_terminals_too(url: str, upstream: Upstream, host: Host) -> None:
    upstream.rate_limit = 1
    async with watching(url, headers=GOOD):
        pass
    with pytest.raises(Refused) as refused:
        async with watching(url, headers=GOOD):
            pass
    assert refused.value.status == 429
