"""Layers as tests lay them over a directory: what would be in the object store is in memory."""

import hashlib
import io
import stat
import tarfile
from pathlib import Path
from typing import Any

from contracts.snapshots import Layer, LayerFile, RestorePlan, Signed
from executor.notes import Layered
from executor.object_calls import Content
from executor.services.layers import Layering, Own
from executor.threads import AgentThreads
from executor.workspace.tree import Tree


class Kept:
    """A `Store` of what was put into it."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.reads: list[str] = []

    def file(self, path: str, content: bytes, **more: Any) -> LayerFile:
        digest = hashlib.sha256(content).hexdigest()
        self.contents[digest] = content
        return LayerFile(path=path, size=len(content), sha256=digest, key=digest, **more)

    def expect(self, keys: list[str]) -> None:
        del keys

    async def read(self, key: str, stretch: tuple[int, int], *, whole: bool) -> Content:
        del stretch, whole
        self.reads.append(key)
        return self.contents[key]

    async def upload(self, purpose: str, content: Content) -> str:
        raise NotImplementedError

    async def fetch(self, signed: Signed, *, limit: int) -> Content:
        raise NotImplementedError


async def laid(
    root: Path,
    kept: Kept,
    *given: Layer,
    ours: tuple[str, ...] = (),
    own: Own | None = None,
    threads: AgentThreads | None = None,
    **plan: Any,
) -> Layered:
    tree = Tree(root, threads or AgentThreads(None))
    wanted = RestorePlan(layers=list(given), **plan)
    return await Layering(tree, kept, wanted, ours, own).apply()


def seed(*files: LayerFile, path: str = "/workspace/a", unpack: bool = False) -> Layer:
    return Layer(kind="seed", path=path, unpack=unpack, files=list(files))


def mount(*files: LayerFile, path: str = "/workspace/.berth/project") -> Layer:
    return Layer(kind="mount", path=path, files=list(files))


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def archive(*members: tuple[str, str, str]) -> bytes:
    """(name, kind, content or target)."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as made:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            if kind == "file":
                info.size = len(content)
                made.addfile(info, io.BytesIO(content.encode()))
                continue
            info.type = {
                "link": tarfile.SYMTYPE,
                "twin": tarfile.LNKTYPE,
                "fifo": tarfile.FIFOTYPE,
            }[kind]
            info.linkname = content
            made.addfile(info)
    return whole.getvalue()
