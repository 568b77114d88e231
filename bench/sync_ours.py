"""Ours, for `bench.sync`: saving and restoring as an executor does it, in a process of its own.

    python -m bench.sync_ours save|restore TREE PLACE URL

`PLACE` keeps between calls what an executor keeps: the index of what it saw, and which snapshot is
the last one. `URL` is the store's; its keys are in the environment. Objects go by the executor's
own calls, straight to the store, with URLs that are signed right here; or, with

    python -m bench.sync_ours save|restore TREE PLACE CONTROL_DIR WORKER_ID

by a real relay on the socket in that directory, and a control plane behind it that signs.

Last line: JSON with the seconds that it took, without the start of Python, and the most memory that
this process had, as the kernel counts it.
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec

from bench.sync_peers import BUCKET, Spent, Store, run
from contracts.snapshots import DOWNLOADS, AskDownloads, RestorePoint, SnapshotKind
from executor.allocation import keep_for_packs
from executor.relay import Relay
from executor.threads import AgentThreads, own_threads
from executor.workspace.index import Index
from executor.workspace.restoring import restore
from executor.workspace.saving import Asked, save
from executor.workspace.transfer import Transfer
from executor.workspace.tree import Tree
from snapshots.manifest import Limits
from tests.executor.straight import Straight
from tests.fixtures.signing import Signer

LIMITS = Limits(max_items=2_000_000, max_bytes=1 << 40)
ROOT = Path(__file__).parent.parent
EPOCH = 1
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@dataclass
class Ours:
    """`way`: how its objects go, as arguments; none: straight to the store."""

    store: Store
    place: Path
    way: tuple[str, ...] = ()
    name: str = "ours"

    def save(self, tree: Path, under: str) -> Spent:
        (self.place / under).mkdir(parents=True, exist_ok=True)
        return self._run("save", tree, under)

    def restore(self, under: str, target: Path) -> Spent:
        return self._run("restore", target, under)

    def _run(self, what: str, tree: Path, under: str) -> Spent:
        way = self.way or (self.store.url,)
        command = [sys.executable, "-m", "bench.sync_ours", what, str(tree)]
        environment = self.store.environment | {"PYTHONPATH": str(ROOT)}
        return run([*command, str(self.place / under), *way], environment, reports=True)


class Last(msgspec.Struct, frozen=True):
    """The last snapshot."""

    id: UUID
    manifest_key: str
    manifest_sha256: str


async def main() -> None:
    what, tree, place, *way = sys.argv[1:]
    asyncio.get_running_loop().set_default_executor(own_threads())
    threads = AgentThreads(None)
    threads.fill()
    relay = _relay(way)
    act = _save if what == "save" else _restore
    seconds = await act(Tree(Path(tree), threads), Path(place), relay)
    await relay.aclose()
    print(json.dumps({"seconds": seconds, "peak_mb": _peak_mb()}))


def _relay(way: list[str]) -> Relay:
    if len(way) == 1:
        access, secret = (os.environ[name] for name in KEYS)  # noqa: TID251  # as the peers have them
        return Straight(way[0], Signer(way[0], BUCKET, access, secret), "ours")
    control_dir, worker_id = way
    return Relay(Path(control_dir), worker_id)


async def _save(tree: Tree, place: Path, relay: Relay) -> float:
    index = Index(place / "index")
    asked = Asked(kind=SnapshotKind.ACKNOWLEDGED, limits=LIMITS)
    begun = time.perf_counter()
    saved = await save(tree, Transfer(relay, epoch=EPOCH), index, asked)
    assert saved is not None
    index.keep()
    seconds = time.perf_counter() - begun
    draft = saved.draft
    last = Last(draft.id, draft.manifest_key, draft.manifest_sha256)
    (place / "last").write_bytes(msgspec.json.encode(last))
    return seconds


async def _restore(tree: Tree, place: Path, relay: Relay) -> float:
    """By another worker, which has no index yet."""
    last = msgspec.json.decode((place / "last").read_bytes(), type=Last)
    signed = (await relay.call(DOWNLOADS, AskDownloads(keys=[last.manifest_key]))).objects[0]
    point = RestorePoint(
        snapshot_id=last.id,
        type=SnapshotKind.ACKNOWLEDGED,
        manifest=signed,
        manifest_sha256=last.manifest_sha256,
    )
    index = Index(place / "index-of-the-next")
    transfer = Transfer(relay, epoch=EPOCH)
    begun = time.perf_counter()
    await restore(tree, point, transfer, index, limits=LIMITS)
    return time.perf_counter() - begun


def _peak_mb() -> float:
    """The kernel's high-water mark of this process alone."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) / 1024


if __name__ == "__main__":
    keep_for_packs()  # as an executor does
    asyncio.run(main())
