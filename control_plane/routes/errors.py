"""What the database says, as callers are told it."""

from typing import Any

import asyncpg
from litestar import Request, Response

from chassis.errors import BerthError, DependencyUnavailable
from chassis.problems import handle_exception
from contracts.errors import Code

AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""It cannot be reached, is starting, stops, or has no connection left."""

BUSY = (
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
)
"""Nothing was done; the same call may succeed in a moment."""

NOT_TEXT = (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError)


def handle_database_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return handle_exception(request, told(error))


def told(error: Exception) -> Exception:
    if isinstance(error, NOT_TEXT):
        return BerthError(
            Code.VALIDATION,
            "a text may not hold the character NUL",
            field="body",
            expected="texts without the character NUL",
        )
    if isinstance(error, BUSY):
        how = f"it is busy: {type(error).__name__}; try again"
        return DependencyUnavailable("database", how, retry_after=1)
    if isinstance(error, AWAY):
        how = f"start Postgres, or look why it refuses: {type(error).__name__}"
        return DependencyUnavailable("database", how, retry_after=1)
    return error


_KINDS: list[type[Exception]] = [asyncpg.PostgresError, asyncpg.InterfaceError, OSError]

DATABASE_ERRORS = dict.fromkeys(_KINDS, handle_database_error)
"""TimeoutError is an OSError."""
