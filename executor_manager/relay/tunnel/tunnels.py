"""One worker's tunnels: who gets one, and what ends it."""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from chassis.logs import get_logger
from contracts.errors import Code
from contracts.relay import RelayPolicy
from executor_manager.relay.denials import Denials, Refused
from executor_manager.relay.settings import Settings
from executor_manager.relay.tunnel.addresses import Address, Network, may_dial
from executor_manager.relay.tunnel.allowance import Allowance
from executor_manager.relay.tunnel.asked import Asked, check_allowed, read_connect
from executor_manager.relay.tunnel.dialling import Connection, close_within, dial
from executor_manager.relay.tunnel.hello import ALERT, read_hello
from executor_manager.relay.tunnel.pipe import Pipe
from executor_manager.relay.tunnel.refusals import (
    TunnelEnded,
    TunnelFailed,
    TunnelRefused,
    as_answer,
)
from executor_manager.relay.tunnel.resolving import Names, NameUnknown, Resolver

UPSTREAM = "tunnel"
"""What denials of tunnels have as their upstream."""
BUFFER_BYTES = 32 * 1024
"""Of one direction, before its sender has to wait; twice that is read at most, and then whatever
one reading of a socket brings."""
BYTES = "bytes"
CLOSE_SECONDS = 5.0
"""For what was passed on to be taken, after the end of both directions."""
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

_log = get_logger()


@dataclass(frozen=True, slots=True)
class TunnelFrame:
    """What all workers share."""

    resolver: Resolver
    settings: Settings
    networks: Sequence[Network]


class Tunnels:
    def __init__(self, policy: RelayPolicy, frame: TunnelFrame, denials: Denials) -> None:
        settings = frame.settings
        self._policy = policy
        self._settings = settings
        self._networks = frame.networks
        self._denials = denials
        self._names = Names(frame.resolver, seconds=settings.relay_resolve_seconds)
        self._allowance = Allowance(asyncio.get_running_loop().time)
        self._open: dict[asyncio.Task[None], Asked] = {}

    def apply(self, policy: RelayPolicy) -> None:
        """What it does not allow any more ends at once."""
        self._policy = policy
        for task, asked in self._open.items():
            try:
                self._check_named(asked)
            except TunnelRefused as refused:
                self._note(refused, asked)
                task.cancel()

    async def serve(self, inside: Connection) -> None:
        """`inside` begins with the request's head. Ended is answered, cut is not."""
        reader, writer = inside
        try:
            async with asyncio.timeout(self._settings.relay_head_seconds):
                head = await _head(reader)
            await self._serve(read_connect(head), inside)
        except TunnelEnded as ended:
            if isinstance(ended, TunnelRefused):
                self._note(ended)
            writer.write(as_answer(ended))
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            _log.debug("tunnel_cut", worker=self._policy.worker_id, error=type(error).__name__)
        finally:
            await close_within(writer, CLOSE_SECONDS)

    async def _serve(self, asked: Asked, inside: Connection) -> None:
        with self._counted(asked):
            outside = await self._dialled(asked, await self._addresses(asked))
            try:
                inside[1].write(ESTABLISHED)
                await self._pass(asked, inside, outside)
            except TunnelRefused as refused:
                self._note(refused, asked)
                outside[1].transport.abort()
                if refused.tls:
                    inside[1].write(ALERT)
                elif refused.rule == BYTES:
                    inside[1].transport.abort()
            except BaseException:
                # what is cut must not look as if it had ended
                inside[1].transport.abort()
                outside[1].transport.abort()
                raise
            finally:
                # for as long as it holds a connection it counts
                await close_within(outside[1], CLOSE_SECONDS)

    async def _pass(self, asked: Asked, inside: Connection, outside: Connection) -> None:
        try:
            async with asyncio.timeout(self._settings.relay_hello_seconds):
                hello = await read_hello(inside[0], asked.host)
        except TimeoutError as error:
            raise TunnelRefused("hello_too_slow") from error
        self._spend(len(hello))
        outside[1].write(hello)
        pipe = Pipe(idle_seconds=self._settings.relay_tunnel_idle_seconds, spend=self._spend)
        await pipe.run(inside, outside)

    @contextmanager
    def _counted(self, asked: Asked) -> Generator[None]:
        """Raises `TunnelRefused`."""
        self._check_named(asked)
        tunnels, task = self._policy.tunnels, asyncio.current_task()
        if tunnels is None or task is None:
            raise TunnelRefused("no_tunnels", host=asked.host, port=asked.port)
        if len(self._open) >= tunnels.connections:
            raise _too_much("connections", asked)
        if not self._allowance.left(mib_per_hour=tunnels.mib_per_hour):
            raise _too_much(BYTES, asked)
        self._open[task] = asked
        try:
            yield
        finally:
            del self._open[task]

    def _check_named(self, asked: Asked) -> None:
        """Raises `TunnelRefused`."""
        if self._policy.tunnels is None:
            raise TunnelRefused("no_tunnels", host=asked.host, port=asked.port)
        check_allowed(asked, self._policy.tunnels.hosts)

    async def _addresses(self, asked: Asked) -> list[Address]:
        try:
            found = await self._names.addresses(asked.host)
        except NameUnknown as error:
            message = f"the name {asked.host} has no address"
            raise TunnelFailed(message, Code.DEPENDENCY_UNAVAILABLE) from error
        except TimeoutError as error:
            message = f"the name {asked.host} was not resolved in time"
            raise TunnelFailed(message, Code.UPSTREAM_TIMEOUT) from error
        # one of them that leads inside makes all of the answer untrustworthy
        if not all(may_dial(address, self._networks) for address in found):
            raise TunnelRefused("address_not_public", host=asked.host, port=asked.port)
        return found

    async def _dialled(self, asked: Asked, addresses: list[Address]) -> Connection:
        seconds = self._settings.relay_dial_seconds
        try:
            outside = await dial(addresses, asked.port, seconds=seconds, limit=BUFFER_BYTES)
        except TimeoutError as error:
            message = f"{asked.host}:{asked.port} did not answer"
            raise TunnelFailed(message, Code.UPSTREAM_TIMEOUT) from error
        if outside is None:
            message = f"{asked.host}:{asked.port} accepts no connection"
            raise TunnelFailed(message, Code.DEPENDENCY_UNAVAILABLE)
        return outside

    def _spend(self, size: int) -> None:
        """Raises `TunnelRefused`."""
        limit = self._policy.tunnels.mib_per_hour if self._policy.tunnels else 0
        if not self._allowance.take(size, mib_per_hour=limit):
            raise TunnelRefused(BYTES)

    def _note(self, refused: TunnelRefused, asked: Asked | None = None) -> None:
        self._denials.note(
            self._policy,
            Refused(
                upstream=UPSTREAM,
                method="CONNECT",
                host=asked.host if asked else refused.host,
                port=asked.port if asked else refused.port,
                rule=refused.rule,
            ),
        )


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise TunnelRefused("malformed") from error


def _too_much(rule: str, asked: Asked) -> TunnelRefused:
    return TunnelRefused(rule, host=asked.host, port=asked.port, code=Code.RATE_LIMITED)
