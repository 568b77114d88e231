"""Files whose names say that they hold secrets: who may open them, and the record of who did."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes
from uuid import UUID

from chassis.errors import BerthError
from chassis.files.names import for_people
from chassis.files.sensitive import NOTHING, Sensitive
from contracts.errors import Code
from control_plane.store import audit
from control_plane.store.database import Database, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCaller:
    """Somebody who asks for files of a session."""

    user_id: UUID
    project_id: UUID
    opens_sensitive: bool


@dataclass(frozen=True, slots=True)
class Opening:
    session_id: UUID
    operation: str
    paths: Sequence[str]
    """Percent-escaped."""


class SensitiveNames:
    def __init__(self, database: Database, patterns: Sequence[str]) -> None:
        self._database = database
        self._names = Sensitive(patterns)

    @property
    def patterns(self) -> list[str]:
        return list(self._names.patterns)

    def withheld_from(self, by: FileCaller) -> Sensitive:
        return NOTHING if by.opens_sensitive else self._names

    async def require(self, by: FileCaller, opening: Opening) -> None:
        """Raises `sensitive_path` for a path that this caller may not open; audited too."""
        if by.opens_sensitive:
            return
        for text in opening.paths:
            path = unquote_to_bytes(text)
            pattern = self._names.pattern_of(path)
            if pattern is None:
                continue
            async with self._database.unit() as unit:
                await _record(unit, by, opening, action="workspace.sensitive_refused")
            named = for_people(path)
            detail = f"{named} is named as {pattern} is: only an owner of the project may open it"
            raise BerthError(Code.SENSITIVE_PATH, detail, path=named, pattern=pattern)

    async def record(
        self, unit: Unit, by: FileCaller, opening: Opening, *, beneath: bool = False
    ) -> None:
        """In the transaction that lets it happen. Nothing, if no name is sensitive; `beneath`: all
        that is in a directory is given, whatever it is called.
        """
        named = any(self._names.covers(unquote_to_bytes(text)) for text in opening.paths)
        if named or (beneath and by.opens_sensitive):
            await _record(unit, by, opening, action="workspace.sensitive")


async def _record(unit: Unit, by: FileCaller, opening: Opening, *, action: str) -> None:
    await audit.record(
        unit,
        by.project_id,
        actor=by.user_id,
        action=action,
        target=str(opening.session_id),
        detail={
            "operation": opening.operation,
            "paths": [for_people(unquote_to_bytes(text)) for text in opening.paths],
        },
    )
