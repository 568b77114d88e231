"""What a worker's spool holds, read from a copy: the executor may be writing, or be dead."""

import shutil
import tempfile
from pathlib import Path

import msgspec

from contracts.spool import AnyEntry
from executor.segments import Segments
from tests.fixtures.boxes import Box


def unsent(box: Box) -> list[AnyEntry]:
    """Those that the control plane has not acknowledged."""
    with tempfile.TemporaryDirectory(prefix="berth-spool-") as folder:
        copy = Path(folder) / "spool"
        shutil.copytree(box.spool, copy)
        segments = Segments(copy)
        segments.recover()
        found = segments.read(segments.acked, entries=10_000, size=1 << 30)
        segments.close()
    return [msgspec.json.decode(payload, type=AnyEntry) for _, payload in found]
