"""Loop devices by the kernel's own calls (`man 4 loop`). All of it blocks and raises OSError.

A device is always set to clear itself: it is gone when nobody has it open any more and it is
mounted nowhere. So there is nothing to find again and nothing to tidy up.
"""

import contextlib
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK_MAJOR = 7
CONTROL = (10, 237)
GET_FREE = 0x4C82
CONFIGURE = 0x4C0A
GET_STATUS = 0x4C05
AUTOCLEAR = 4
INFO = struct.Struct("=QQQQQIIII64s64s32sQQ")
"""`struct loop_info64`."""
CONFIG_HEAD = struct.Struct("=II")
CONFIG_TAIL = bytes(64)
ATTEMPTS = 32
DEVICES = Path("/dev")
SYSTEM = Path("/sys/block")


@dataclass(frozen=True, slots=True)
class Attached:
    """`descriptor` is open: the device lasts at least until it is closed."""

    number: int
    descriptor: int


def attach(image: int) -> Attached:
    """The device that has this file, else a free one: one image on two would be torn."""
    return _found(image) or _configured(image)


def make_node(directory: int, name: str, number: int) -> None:
    """A device's node in a directory of ours; replaces the one that is there."""
    beside = f".{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=directory)
    os.mknod(beside, stat.S_IFBLK | 0o600, os.makedev(BLOCK_MAJOR, number), dir_fd=directory)
    os.rename(beside, name, src_dir_fd=directory, dst_dir_fd=directory)


def _found(image: int) -> Attached | None:
    wanted = os.fstat(image)
    for number in _bound():
        try:
            device = _open(number, os.O_RDONLY)
        except OSError as error:
            if error.errno in {errno.ENXIO, errno.ENOENT}:  # cleared in this moment
                continue
            raise
        if _backs(device, wanted):
            return Attached(number, device)
        os.close(device)
    return None


def _bound() -> Iterator[int]:
    for entry in SYSTEM.glob("loop[0-9]*"):
        if (entry / "loop").exists():
            yield int(entry.name.removeprefix("loop"))


def _backs(device: int, wanted: os.stat_result) -> bool:
    answer = bytearray(INFO.size)
    try:
        fcntl.ioctl(device, GET_STATUS, answer)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return False
        raise
    of_device, inode = INFO.unpack(answer)[:2]
    return (of_device, inode) == (wanted.st_dev, wanted.st_ino)


def _configured(image: int) -> Attached:
    info = INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, AUTOCLEAR, b"", b"", b"", 0, 0)
    config = CONFIG_HEAD.pack(image, 0) + info + CONFIG_TAIL
    for _ in range(ATTEMPTS):
        number = _free()
        device = _open(number, os.O_RDWR)
        try:
            fcntl.ioctl(device, CONFIGURE, config)
        except OSError as error:
            os.close(device)
            if error.errno != errno.EBUSY:  # another was faster
                raise
        else:
            return Attached(number, device)
    raise OSError(errno.EBUSY, "others take every free loop device")


def _free() -> int:
    path = DEVICES / "loop-control"
    _ensure(path, stat.S_IFCHR, *CONTROL)
    control = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(control, GET_FREE)
    finally:
        os.close(control)


def _open(number: int, flags: int) -> int:
    path = DEVICES / f"loop{number}"
    _ensure(path, stat.S_IFBLK, BLOCK_MAJOR, number)
    return os.open(path, flags | os.O_CLOEXEC)


def _ensure(path: Path, kind: int, major: int, minor: int) -> None:
    """In a container nobody makes nodes of devices but us."""
    if not path.exists():
        with contextlib.suppress(FileExistsError):
            os.mknod(path, kind | 0o600, os.makedev(major, minor))
