"""A zip archive that is made while it is sent: push content in, take its bytes out.

Links are stored as links where they stay within the archive; nothing is followed. What was left out
is listed in a file of the archive's own.
"""

import io
import stat
import time
import zipfile
from typing import IO

from chassis.files.names import for_people, leads_out, shown

LEFT_OUT = "LEFT-OUT.txt"
MOST_TOLD = 10_000
EARLIEST = (1980, 1, 1, 0, 0, 0)
LATEST_YEAR = 2107


class _Sink(io.RawIOBase):
    """Takes what the archive writes; has no positions."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]  # of RawIOBase: any buffer
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        whole, self._parts = b"".join(self._parts), []
        return whole


class ZipPieces:
    """Each call gives the bytes that it made; one file at a time is open."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", allowZip64=True)
        self._file: IO[bytes] | None = None
        self._left_out: list[str] = []
        self._untold = 0

    def directory(self, path: bytes, mode: int, mtime: float) -> bytes:
        info = _info(shown(path).text + "/", stat.S_IFDIR | mode, mtime)
        self._zip.writestr(info, b"")
        return self._sink.taken()

    def link(self, path: bytes, target: bytes, mtime: float) -> bytes:
        if leads_out(path, target):
            self.leave_out(path, "a link that leads out")
            return b""
        self._zip.writestr(_info(shown(path).text, stat.S_IFLNK | 0o777, mtime), target)
        return self._sink.taken()

    def begin(self, path: bytes, mode: int, mtime: float) -> bytes:
        info = _info(shown(path).text, stat.S_IFREG | mode, mtime)
        info.compress_type = zipfile.ZIP_DEFLATED
        self._file = self._zip.open(info, "w", force_zip64=True)
        return self._sink.taken()

    def content(self, content: "bytes | memoryview") -> bytes:
        if self._file is not None:
            self._file.write(content)
        return self._sink.taken()

    def end(self) -> bytes:
        if self._file is not None:
            self._file.close()
            self._file = None
        return self._sink.taken()

    def leave_out(self, path: bytes, reason: str) -> None:
        if len(self._left_out) < MOST_TOLD:
            self._left_out.append(f"{for_people(path)}: {reason}")
        else:
            self._untold += 1

    def finish(self) -> bytes:
        """With the list of what was left out, if anything was."""
        if self._left_out:
            more = [f"and {self._untold} more"] if self._untold else []
            names = set(self._zip.namelist())
            name = LEFT_OUT
            while name in names:
                name = f"_{name}"
            text = "\n".join([*self._left_out, *more]) + "\n"
            self._zip.writestr(_info(name, stat.S_IFREG | 0o644, time.time()), text.encode())
        self._zip.close()
        return self._sink.taken()


def _info(name: str, mode: int, mtime: float) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _moment(mtime))
    info.create_system = 3  # Unix: the mode below is one
    info.external_attr = (mode & 0xFFFF) << 16
    if stat.S_ISDIR(mode):
        info.external_attr |= 0x10
    return info


def _moment(seconds: float) -> tuple[int, int, int, int, int, int]:
    """What a zip can hold: whoever owns a file may set any time."""
    try:
        found = time.gmtime(seconds)
    except (OverflowError, OSError, ValueError):
        return EARLIEST
    if not EARLIEST[0] <= found.tm_year <= LATEST_YEAR:
        return EARLIEST
    return (
        found.tm_year,
        found.tm_mon,
        found.tm_mday,
        found.tm_hour,
        found.tm_min,
        found.tm_sec,
    )
