"""A POST that creates does so once for each `Idempotency-Key`.

The key's row is the first thing written in the transaction that creates; a parallel request with
the same key waits on it and then finds the answer. A transaction that fails leaves no row.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

import msgspec

from chassis.errors import BerthError, Stale
from contracts.errors import Code
from control_plane.store import idempotency as store
from control_plane.store.database import Database, Unit

T = TypeVar("T", bound=msgspec.Struct)

KEPT_HOURS = 24
EXPIRED_AT_ONCE = 1000

_KEY = re.compile(r"[ -~]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """`key` is None where the client sent none: then nothing is remembered."""

    user_id: UUID
    key: str | None
    request_hash: str
    waits: bool = False
    """Whoever asks wants to wait for what comes of it."""


@dataclass(frozen=True, slots=True)
class Once(Generic[T]):
    value: T
    replayed: bool = False


def ask(
    *,
    user_id: UUID,
    key: str | None,
    method: str,
    path: str,
    body: object,
    waits: bool = False,
) -> Ask:
    """Raises `validation_failed` for a key that is not 1 to 200 printable ASCII characters."""
    if key is not None and not _KEY.fullmatch(key):
        raise BerthError(
            Code.VALIDATION,
            "Idempotency-Key: 1 to 200 printable characters",
            field="Idempotency-Key",
            expected="1 to 200 printable ASCII characters",
        )
    content = msgspec.json.encode(body, order="deterministic")
    digest = hashlib.sha256(f"{method} {path}\n".encode() + content).hexdigest()
    return Ask(user_id=user_id, key=key, request_hash=digest, waits=waits)


class Idempotency:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def once(
        self, ask: Ask, work: Callable[[Unit], Awaitable[T]], answer: type[T], *, status: int = 201
    ) -> Once[T]:
        """Does the work in one transaction with its key, or gives what it answered the first time.

        Raises Stale `idempotency_key_reused` for a key that came with another body.
        """
        async with self._database.unit() as unit:
            if ask.key is None:
                return Once(await work(unit))
            kept = await store.claim(
                unit, user_id=ask.user_id, key=ask.key, request_hash=ask.request_hash
            )
            if kept is not None:
                return Once(_first_answer(ask, kept, answer), replayed=True)
            value = await work(unit)
            text = msgspec.json.encode(value).decode()
            await store.keep(unit, user_id=ask.user_id, key=ask.key, status=status, answer=text)
            return Once(value)

    async def earlier(self, ask: Ask, answer: type[T]) -> Once[T] | None:
        """What the key was answered with already: before work that no transaction may wait for."""
        if ask.key is None:
            return None
        async with self._database.reading() as connection:
            kept = await store.kept(connection, user_id=ask.user_id, key=ask.key)
        return None if kept is None else Once(_first_answer(ask, kept, answer), replayed=True)

    async def expire(self) -> int:
        """One pass: how many keys it forgot, in batches that are transactions of their own."""
        forgotten = 0
        while True:
            async with self._database.unit() as unit:
                batch = await store.expire(unit, hours=KEPT_HOURS, limit=EXPIRED_AT_ONCE)
            forgotten += batch
            if batch < EXPIRED_AT_ONCE:
                return forgotten


def _first_answer(ask: Ask, kept: store.Kept, answer: type[T]) -> T:
    if kept.request_hash != ask.request_hash:
        raise Stale(
            Code.IDEMPOTENCY_CONFLICT, "a new request needs a new Idempotency-Key", key=ask.key
        )
    return msgspec.json.decode(kept.answer, type=answer)
