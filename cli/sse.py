"""Reads server-sent events off a response (HTML Living Standard, section 9.2.6)."""

from collections.abc import AsyncGenerator, AsyncIterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    id: str = ""
    event: str = ""
    data: str = ""
    retry_ms: int | None = None


class _Gathered:
    def __init__(self) -> None:
        self._fields: dict[str, str] = {}
        self._data: list[str] = []

    def take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name:  # a line that begins with a colon is a comment
            self._fields[name] = value

    def frame(self) -> Frame | None:
        if not (self._fields or self._data):
            return None
        retry = self._fields.get("retry", "")
        return Frame(
            id=self._fields.get("id", ""),
            event=self._fields.get("event", ""),
            data="\n".join(self._data),
            retry_ms=int(retry) if retry.isdecimal() else None,
        )


async def frames(lines: AsyncIterable[str]) -> AsyncGenerator[Frame]:
    """An event that the end of the response cut off is dropped, as the standard says."""
    gathered = _Gathered()
    async for line in lines:
        if line:
            gathered.take(line)
            continue
        frame = gathered.frame()
        gathered = _Gathered()
        if frame is not None:
            yield frame


async def lines_of(chunks: AsyncIterable[bytes]) -> AsyncGenerator[str]:
    """Split at line ends only: httpx's own splitting also takes U+2028 for one."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
