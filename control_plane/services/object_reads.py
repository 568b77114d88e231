"""Objects that are read whole, also from a store that now and then stops in their middle."""

import asyncio
import random

from chassis.objects import CutShort, ObjectStore

TRIES = 4
CUT_SHORT = "the store has it, and what it sends is cut short each time"


class ObjectReads:
    """`pause`: seconds before the second attempt, about; later ones wait longer."""

    def __init__(self, objects: ObjectStore, *, pause: float = 1.0) -> None:
        self._objects = objects
        self._pause = pause

    async def at_most(self, key: str, limit: int) -> bytes:
        """Raises `CutShort` where each attempt was; as `ObjectStore.get_at_most` besides."""
        for tried in range(1, TRIES):
            try:
                return await self._objects.get_at_most(key, limit)
            except CutShort:
                await asyncio.sleep(self._pause * 2**tried * random.uniform(0.5, 1))  # noqa: S311  # no secret
        return await self._objects.get_at_most(key, limit)
