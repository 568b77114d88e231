"""A log's cursor, `<stream tag>.<seq>`: the last event that its bearer has seen."""

import re
from uuid import UUID

from chassis.errors import BerthError
from contracts.errors import Code

_CURSOR = re.compile(r"([0-9a-f]{32})\.(0|[1-9][0-9]{0,18})")


def cursor(stream_id: UUID, seq: int) -> str:
    return f"{stream_id.hex}.{seq}"


def position(text: str, stream_id: UUID, *, first_seq: int, last_seq: int) -> int:
    """Raises `bad_cursor`, or `cursor_expired` where an event behind it is no longer kept."""
    stream, seq = place(text)
    if stream != stream_id:
        raise bad("it belongs to another stream")
    if seq > last_seq:
        raise bad("it lies beyond the stream's end")
    if seq < first_seq - 1:
        raise BerthError(
            Code.CURSOR_EXPIRED,
            f"events up to {first_seq - 1} are no longer kept",
            first=cursor(stream_id, first_seq - 1),
        )
    return seq


def place(text: str) -> tuple[UUID, int]:
    """The stream, and the seq in it. Raises `bad_cursor`."""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise bad("it is not one of ours")
    return UUID(hex=found[1]), int(found[2])


def bad(why: str) -> BerthError:
    return BerthError(
        Code.BAD_CURSOR,
        f"cursor: {why}",
        field="cursor",
        expected="the id of an event of this stream",
    )
