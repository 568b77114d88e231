"""The audit of a project's files: every access, those that were refused too."""

from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from chassis.errors import BerthError
from contracts.errors import Code
from control_plane.domain.project_files import Visitor
from control_plane.services.project_file_rights import Hidden
from control_plane.store import audit
from control_plane.store.database import Database, Unit

P = ParamSpec("P")
T = TypeVar("T")

REFUSED = "files.refused"


class Audited:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def tell(
        self, visitor: Visitor, action: str, path: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        async with self._database.unit() as unit:
            await record(unit, visitor, action, path, detail)


S = TypeVar("S", bound=Audited)

_Method = Callable[Concatenate[S, Visitor, P], Awaitable[T]]


def refusals_told(operation: str) -> Callable[[_Method[S, P, T]], _Method[S, P, T]]:
    """What the rules refuse, told after the transaction that it ended."""

    def around(method: _Method[S, P, T]) -> _Method[S, P, T]:
        @wraps(method)
        async def told(self: S, visitor: Visitor, *args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return await method(self, visitor, *args, **kwargs)
            except BerthError as error:
                if isinstance(error, Hidden) or error.code in {Code.FORBIDDEN, Code.SENSITIVE_PATH}:
                    detail = {"operation": operation, "role": visitor.role.value}
                    await self.tell(visitor, REFUSED, error.details["path"], detail)
                raise

        return told

    return around


async def record(
    unit: Unit,
    visitor: Visitor,
    action: str,
    path: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    await audit.record(
        unit,
        visitor.project_id,
        actor=visitor.user_id,
        action=action,
        target=path,
        detail=detail or {},
    )
