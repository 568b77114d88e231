"""A connection that takes and gives whole messages, as far as its users need to know of it."""

from typing import Protocol


class Closed(Exception):
    """The other side ended it, or it broke: 1006 when nobody said why."""

    def __init__(self, code: int = 1006, reason: str = "") -> None:
        super().__init__(f"{code} {reason}".strip())
        self.code = code
        self.reason = reason


class Duplex(Protocol):
    """One task receives and one sends."""

    async def receive(self) -> bytes | str:
        """Raises `Closed`."""
        ...

    async def send(self, content: bytes | str, *, within: float) -> None:
        """Returns when there is room for more. Raises `Closed`, and `TimeoutError` when that takes
        longer than `within` seconds.
        """
        ...

    async def close(self, code: int, reason: str = "") -> None:
        """Tells why, if that can still be told soon."""
        ...

    def abort(self) -> None: ...
