"""Objects that are kept in memory, for tests of trees: thousands of saves, none of the network.

The real store is behind `tests/executor/outside.py`.
"""

from typing import Literal

from contracts.snapshots import RestorePoint, Signed
from executor.object_calls import Content
from executor.workspace.saving import Saved


class Kept:
    """An `executor.workspace.transfer.Store`."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.reads: list[tuple[str, tuple[int, int], bool]] = []

    async def upload(self, purpose: Literal["pack", "manifest", "spool"], content: Content) -> str:
        key = f"{purpose}-{len(self.objects)}"
        self.objects[key] = bytes(content)
        return key

    async def fetch(self, signed: Signed, *, limit: int) -> Content:
        return self.objects[signed.key][:limit]

    def expect(self, keys: list[str]) -> None:
        assert set(keys) <= set(self.objects)

    async def read(self, key: str, stretch: tuple[int, int], *, whole: bool) -> Content:
        self.reads.append((key, stretch, whole))
        return memoryview(self.objects[key])[stretch[0] : sum(stretch)]

    @property
    def packs(self) -> list[str]:
        return [key for key in self.objects if key.startswith("pack")]

    def point(self, saved: Saved) -> RestorePoint:
        return RestorePoint(
            snapshot_id=saved.draft.id,
            type=saved.draft.type,
            manifest=Signed(key=saved.draft.manifest_key, url=""),
            manifest_sha256=saved.draft.manifest_sha256,
        )
