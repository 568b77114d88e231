"""Trees of bytes as the server sends them."""

import io
import tarfile
from collections.abc import Mapping

from cli.trees.receiving import Received
from snapshots.paths import order

Tree = Mapping[bytes, tuple[str, bytes]]
"""A path's mode, as git has it (`40000` is a directory), and its content or target."""


def received(tree: Tree) -> Received:
    file = io.BytesIO()
    with tarfile.open(
        fileobj=file, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8",
        errors="surrogateescape",
    ) as archive:  # fmt: skip
        for path in sorted(tree, key=order):
            mode, content = tree[path]
            info = tarfile.TarInfo(path.decode(errors="surrogateescape"))
            info.mode, info.mtime = int(mode[-3:], 8), 1_700_000_000
            if mode == "40000":
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif mode == "120000":
                info.type = tarfile.SYMTYPE
                info.linkname = content.decode(errors="surrogateescape")
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return Received(file, "snapshot", 0)
