"""NOTIFY and LISTEN: one connection of its own, apart from the pool."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

CHANNEL = "berth"
SECONDS = 5.0


class Line:
    """An open connection that listens."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.process_id = connection.get_server_pid()

    @property
    def closed(self) -> bool:
        return self._connection.is_closed()

    def on_close(self, tell: Callable[[], None]) -> None:
        """`tell` is called when the server or the network has ended it."""
        self._connection.add_termination_listener(lambda _connection: tell())

    async def notify(self, payloads: Sequence[str]) -> None:
        if payloads:
            await self._connection.execute(
                "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload",
                CHANNEL,
                payloads,
            )

    async def probe(self) -> None:
        """Raises where the other end is gone without having said so."""
        await self._connection.execute("SELECT 1")


@asynccontextmanager
async def open_line(
    url: str, application: str, heard: Callable[[str], None]
) -> AsyncGenerator[Line]:
    """`heard` gets the payloads of others; what this line sent itself is left out."""
    connection: asyncpg.Connection = await asyncpg.connect(
        url,
        timeout=SECONDS,
        command_timeout=SECONDS,
        server_settings={"application_name": application},
    )
    line = Line(connection)

    def listener(_connection: Any, process_id: int, _channel: str, payload: object) -> None:  # noqa: ANN401 # asyncpg's proxy
        if process_id != line.process_id:
            heard(str(payload))

    try:
        await connection.add_listener(CHANNEL, listener)
        yield line
    finally:
        connection.terminate()
