"""The first bytes of a tunnel: one TLS client hello (RFC 8446, 4.1.2), whole, for the host that was
asked for. It is read, never changed, and goes on as it came.
"""

import asyncio
from dataclasses import dataclass

from executor_manager.relay.tunnel.refusals import TunnelRefused

HELLO_BYTES = 16 * 1024
"""Of the message: several times what key shares after quantum computers, tickets and padding need.
"""
RAW_BYTES = 2 * HELLO_BYTES
"""With the headers of its records."""
ALERT = bytes.fromhex("15030300020231")
"""Fatal: access_denied."""

_HANDSHAKE = 22
_RECORD_BYTES = 16 * 1024
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0
_ENCRYPTED_CLIENT_HELLO = 0xFE0D


@dataclass(frozen=True, slots=True)
class Hello:
    names: list[bytes] | None
    """None: without the extension."""
    encrypted: bool
    """Another, encrypted hello may be in it, for a name that cannot be seen; browsers also send
    this extension filled with nothing, with the true name beside it."""


class _NotAHello(Exception):
    pass


async def read_hello(reader: asyncio.StreamReader, host: str) -> bytes:
    """The bytes as they came; its name is `host`. Raises `TunnelRefused`, and
    `IncompleteReadError` where they end before.
    """
    raw, message = bytearray(), bytearray()
    wanted = 4
    while len(message) < wanted:
        message += await _record(reader, raw)
        if message[0] != _CLIENT_HELLO:
            raise TunnelRefused("not_a_client_hello", tls=True)
        if len(message) >= 4:
            wanted = 4 + int.from_bytes(message[1:4])
        if wanted > HELLO_BYTES or len(raw) > RAW_BYTES:
            raise TunnelRefused("hello_too_large", tls=True)
    if len(message) > wanted:
        raise TunnelRefused("not_a_client_hello", tls=True)
    try:
        hello = parse(bytes(message[4:]))
    except _NotAHello as error:
        raise TunnelRefused("not_a_client_hello", tls=True) from error
    if (rule := wrong_name(hello, host)) is not None:
        raise TunnelRefused(rule, tls=True)
    return bytes(raw)


def wrong_name(hello: Hello, host: str) -> str | None:
    """The rule that it breaks."""
    if hello.names == [host.encode()]:
        return None
    if hello.encrypted:
        return "encrypted_client_hello"
    return "no_server_name" if hello.names is None else "server_name"


async def _record(reader: asyncio.StreamReader, raw: bytearray) -> bytes:
    head = await reader.readexactly(5)
    size = int.from_bytes(head[3:])
    if head[0] != _HANDSHAKE or head[1] != 3:
        raise TunnelRefused("not_tls")
    if not 0 < size <= _RECORD_BYTES:  # an empty one is none (RFC 8446, 5.1)
        raise TunnelRefused("not_a_client_hello", tls=True)
    content = await reader.readexactly(size)
    raw += head
    raw += content
    return content


def parse(body: bytes) -> Hello:
    """Raises `_NotAHello`: also where two readers could read two names."""
    rest = _Bytes(body)
    rest.take(2 + 32)
    rest.vector(1)
    rest.vector(2)
    rest.vector(1)
    if not rest.left:
        return Hello(None, encrypted=False)
    extensions = rest.vector(2)
    rest.end()
    found: dict[int, _Bytes] = {}
    while extensions.left:
        kind = extensions.number(2)
        if kind in found:
            raise _NotAHello
        found[kind] = extensions.vector(2)
    names = _names(found[_SERVER_NAME]) if _SERVER_NAME in found else None
    return Hello(names, encrypted=_ENCRYPTED_CLIENT_HELLO in found)


def _names(extension: "_Bytes") -> list[bytes]:
    listed = extension.vector(2)
    extension.end()
    names: list[bytes] = []
    while listed.left:
        if listed.number(1) != _HOST_NAME:
            raise _NotAHello
        names.append(listed.vector(2).rest())
    return names


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._content) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise _NotAHello
        self._at += size
        return self._content[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> "_Bytes":
        """`size`: bytes of its length."""
        return _Bytes(self.take(self.number(size)))

    def rest(self) -> bytes:
        return self.take(self.left)

    def end(self) -> None:
        if self.left:
            raise _NotAHello
