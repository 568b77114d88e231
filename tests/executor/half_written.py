"""A write that the kernel has begun and cannot end: its third quarter is copied from memory, the
fourth is memory that is not there until it is asked to go on (`userfaultfd(2)`).
"""

import ctypes
import fcntl
import mmap
import os
import platform
import select
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

SIZE = 16 * 1024 * 1024
"""More than a kernel copies before it looks for the next page."""
THERE = SIZE * 3 // 4
DEADLINE_SECONDS = 30

USERFAULTFD, LSEEK = {"x86_64": (323, 8), "aarch64": (282, 62)}[platform.machine()]
_API, _REGISTER, _COPY = 0xC018AA3F, 0xC020AA00, 0xC028AA03
_VERSION, _MISSING = 0xAA, 1


class HalfWritten:
    def __init__(self, faults: int, missing: int, content: bytes) -> None:
        self._faults, self._missing, self._content = faults, missing, content

    def go_on(self) -> None:
        length = len(self._content)
        held = ctypes.create_string_buffer(self._content, length)
        asked = struct.pack("QQQQq", self._missing, ctypes.addressof(held), length, 0, 0)
        fcntl.ioctl(self._faults, _COPY, bytearray(asked))


@contextmanager
def half_written(path: Path, letter: bytes) -> Generator[HalfWritten]:
    """Over the file that is there: of `SIZE` bytes, as `letter` will be in all of them."""
    faults = ctypes.CDLL(None, use_errno=True).syscall(USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK)
    assert faults >= 0, os.strerror(ctypes.get_errno())
    memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:THERE] = letter * THERE
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(faults, _API, bytearray(struct.pack("QQQ", _VERSION, 0, 0)))
    missing = struct.pack("QQQQ", start + THERE, SIZE - THERE, _MISSING, 0)
    fcntl.ioctl(faults, _REGISTER, bytearray(missing))
    handle = os.open(path, os.O_WRONLY)
    writer = threading.Thread(target=os.pwrite, args=(handle, memoryview(memory), 0))
    try:
        writer.start()
        assert select.select([faults], [], [], DEADLINE_SECONDS)[0]
        yield HalfWritten(faults, start + THERE, letter * (SIZE - THERE))
    finally:
        # whoever still waits for a page gets an empty one
        os.close(faults)
        writer.join()
        os.close(handle)


def seeks() -> bool:
    """A thread of this process is held up in an `lseek`."""
    calls: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        try:
            calls.append((task / "syscall").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return str(LSEEK) in calls
