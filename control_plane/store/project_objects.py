"""The objects that hold projects' files: content-addressed in a project, never across projects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from chassis.ids import new_id
from control_plane.store.database import Unit
from sql.named import load as load_queries

QUERIES = load_queries("project_objects")


@dataclass(frozen=True, slots=True)
class Held:
    key: str
    stored: bool
    """Its bytes are there."""


def prefix_of(project_id: UUID) -> str:
    """Of the keys of all that its files ever held."""
    return f"p/{project_id.hex}/f/"


async def hold(unit: Unit, project_id: UUID, *, sha256: str, length: int) -> Held:
    key = f"{prefix_of(project_id)}{new_id()}"
    record = await unit.connection.fetchrow(QUERIES["hold"], project_id, sha256, key, length)
    assert record is not None  # noqa: S101  # it inserts or updates
    return Held(record["key"], record["stored"])


async def stored(unit: Unit, project_id: UUID, kept: Mapping[str, str]) -> bool:
    """Keys by hash. False: one was collected meanwhile."""
    found = await unit.connection.fetch(
        QUERIES["stored"], project_id, list(kept), list(kept.values())
    )
    return len(found) == len(kept)


async def condemn(unit: Unit, *, grace: float) -> None:
    await unit.connection.execute(QUERIES["condemn"], grace)


async def doom(unit: Unit, *, grace: float, limit: int) -> list[str]:
    """Keys to be deleted."""
    return [record["key"] for record in await unit.connection.fetch(QUERIES["doom"], grace, limit)]


async def forget(unit: Unit, keys: Sequence[str]) -> None:
    await unit.connection.execute(QUERIES["forget"], list(keys))
