"""Saving and restoring in a process of its own, which may be killed at any failpoint of the engine.

    python -m tests.executor.engine_process JSON

Its last line is the snapshot that it made.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Literal

import msgspec

from chassis.failpoints import arm
from contracts.snapshots import RestorePoint, SnapshotKind
from executor.workspace.index import Index
from executor.workspace.restoring import wipe
from executor.workspace.saving import Asked
from executor.workspace.transfer import Transfer
from tests.executor.snapshots import LIMITS, Disk, point_of
from tests.executor.straight import Straight
from tests.fixtures.signing import Signer


class Order(msgspec.Struct, frozen=True):
    what: Literal["save", "checkpoint", "restore", "reuse"]
    root: str
    index: str
    url: str
    bucket: str
    access_key: str
    secret_key: str
    prefix: str
    point: RestorePoint | None = None
    failpoint: str = ""
    hit: int = 1


async def carried_out(order: Order) -> RestorePoint | None:
    signer = Signer(order.url, order.bucket, order.access_key, order.secret_key)
    relay = Straight(order.url, signer, order.prefix)
    disk = Disk(Path(order.root), Index(Path(order.index)))
    transfer = Transfer(relay, epoch=1)
    try:
        if order.point is None:
            kind = SnapshotKind.ACKNOWLEDGED if order.what == "save" else SnapshotKind.CHECKPOINT
            asked = Asked(kind=kind, limits=LIMITS, quiet=order.what == "save")
            saved = await disk.save(transfer, asked)
            return point_of(saved, relay.sign(saved.draft.manifest_key))
        if order.what == "restore":
            # as a process does that finds no marker: whatever stands there is nobody's
            wipe(disk.root)
        await disk.restore(transfer, order.point, reuse=order.what == "reuse")
        return None
    finally:
        await relay.aclose()


def kill_at(failpoint: str, hit: int) -> None:
    left = hit

    def action() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    arm(failpoint, action)


def main() -> None:
    order = msgspec.json.decode(sys.argv[1], type=Order)
    if order.failpoint:
        kill_at(order.failpoint, order.hit)
    point = asyncio.run(carried_out(order))
    if point is not None:
        sys.stdout.write(msgspec.json.encode(point).decode() + "\n")


if __name__ == "__main__":
    main()
