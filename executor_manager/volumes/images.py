"""Images of ext4 in the directories of workers: sized, sparse, made once from a pattern.

Everything is opened beneath a directory handle and no link is followed. A limit on files comes with
the size: an inode for each 16 KiB, a million at most.
"""

import contextlib
import errno
import os
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from executor_manager.volumes.loop_devices import attach, make_node

IMAGE = "disk.img"
NODE = "disk"
AGENT = 10001
MIB = 1024 * 1024
INODES_PER_MIB = 64
MOST_INODES = 1_000_000
MAKE_SECONDS = 60.0
COPY_BYTES = 4 * MIB
TRIAL_MIB = 16
MOST_PATTERNS = 16
"""Of sizes; beyond them the oldest is made again when it is asked for."""
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_THERE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class ImageRefused(Exception):
    """The message says why."""


class Images:
    def __init__(self, *, workers: Path, patterns: Path) -> None:
        self._workers = workers
        self._patterns = patterns
        # two that attach one image at once would find it on no device, and take two
        self._alone = threading.Lock()

    def open(self) -> None:
        self._patterns.mkdir(mode=0o700, parents=True, exist_ok=True)

    def hold(self, worker: str, mib: int) -> int:
        """What keeps its device: to be closed. Raises `ImageRefused`, OSError."""
        try:
            directory = os.open(self._workers / worker, _DIRECTORY)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ImageRefused(f"there is no worker's directory {worker}") from error
        with _closing(directory), self._alone:
            image = self._image(directory, mib)
            with _closing(image):
                attached = attach(image)
            try:
                make_node(directory, NODE, attached.number)
            except OSError:
                os.close(attached.descriptor)
                raise
            return attached.descriptor

    def trial(self) -> None:
        """Raises `ImageRefused`, OSError where `hold` would."""
        with self._alone, self._opened_patterns() as patterns:
            image = self._copied(patterns, TRIAL_MIB)
            with _closing(image):
                os.unlink(IMAGE, dir_fd=patterns)
                os.close(attach(image).descriptor)

    def _image(self, directory: int, mib: int) -> int:
        try:
            return os.open(IMAGE, _THERE, dir_fd=directory)
        except FileNotFoundError:
            return self._copied(directory, mib)

    def _copied(self, directory: int, mib: int) -> int:
        """Whole under its name, or not there."""
        with self._opened_patterns() as patterns:
            pattern = _pattern(patterns, mib)
        with _closing(pattern):
            beside = f".{uuid4().hex}"
            image = os.open(beside, _NEW, 0o600, dir_fd=directory)
            try:
                _copy(pattern, image)
                os.rename(beside, IMAGE, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                os.close(image)
                _unlink(directory, beside)
                raise
            return image

    @contextmanager
    def _opened_patterns(self) -> Generator[int]:
        patterns = os.open(self._patterns, _DIRECTORY)
        with _closing(patterns):
            yield patterns


def _pattern(patterns: int, mib: int) -> int:
    name = f"{mib}.pattern"
    with contextlib.suppress(FileNotFoundError):
        return os.open(name, _THERE, dir_fd=patterns)
    beside = f".{uuid4().hex}"
    made = os.open(beside, _NEW, 0o600, dir_fd=patterns)
    try:
        os.ftruncate(made, mib * MIB)
        _format(made, min(mib * INODES_PER_MIB, MOST_INODES))
        os.fsync(made)  # after a crash of the host a torn one would be every later session's
        os.rename(beside, name, src_dir_fd=patterns, dst_dir_fd=patterns)
        _forget_oldest(patterns)
    except BaseException:
        os.close(made)
        _unlink(patterns, beside)
        raise
    return made


def _forget_oldest(patterns: int) -> None:
    with os.scandir(patterns) as found:
        known = sorted(found, key=lambda one: one.stat(follow_symlinks=False).st_mtime_ns)
    for one in known[:-MOST_PATTERNS]:
        _unlink(patterns, one.name)


def _format(image: int, inodes: int) -> None:
    """Its top belongs to the agent; nothing is in it, and nothing is kept for root."""
    extended = f"root_owner={AGENT}:{AGENT},lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    make = ["mkfs.ext4", "-F", "-q", "-b", "4096", "-I", "256", "-m", "0", "-N", str(inodes)]
    _run(image, [*make, "-E", extended, f"/proc/self/fd/{image}"])
    _run(image, ["debugfs", "-w", "-R", "rmdir lost+found", f"/proc/self/fd/{image}"])


def _run(image: int, command: list[str]) -> None:
    try:
        done = subprocess.run(
            command,
            pass_fds=[image],
            env={"PATH": PATH, "LANG": "C"},
            cwd="/",
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=MAKE_SECONDS,
        )
    except FileNotFoundError as error:
        raise ImageRefused(f"{command[0]} is missing: install e2fsprogs") from error
    except subprocess.TimeoutExpired as error:
        raise ImageRefused(f"{command[0]} took longer than {MAKE_SECONDS:g} s") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-300:]
        if "No space left" in said:
            raise OSError(errno.ENOSPC, said)
        raise ImageRefused(f"{command[0]} ended with {done.returncode}: {said}")


def _copy(source: int, target: int) -> None:
    """Holes stay holes."""
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole to its end
                return
            raise
        ends = os.lseek(source, at, os.SEEK_HOLE)
        while at < ends:
            at += os.copy_file_range(source, target, min(ends - at, COPY_BYTES), at, at)


def _unlink(directory: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


@contextmanager
def _closing(descriptor: int) -> Generator[None]:
    try:
        yield
    finally:
        os.close(descriptor)
