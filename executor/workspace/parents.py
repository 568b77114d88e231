"""Directories beneath a root, opened in one call where the kernel can (`openat2(2)`).

It resolves a path beneath the handle, through no link and no mount's back door, or refuses. Where
it is not to be had (an older kernel, a sandbox's own, a filter of calls) the same is done one
component at a time.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from functools import cache
from types import TracebackType
from typing import Self

from executor.workspace.beneath import DIRECTORY
from executor.workspace.errors import UnsafePath
from snapshots.paths import parts_of

OPENAT2 = 437
"""Everywhere the same."""
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH = 0x02, 0x04, 0x08
PATH_MAX = 4096
"""With the byte that ends it. Longer paths are opened in pieces."""
UNSAFE = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EXDEV})

Opening = Callable[[int, bytes], int]
"""A handle of a directory beneath a handle; raises `OSError`."""

_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


_HOW = _How(DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)


class Parents:
    """The directory of the last path is kept open: who comes in the order of paths opens few.

    The root's handle stays the caller's. Not for two threads at once.
    """

    def __init__(self, root: int, opening: Opening | None = None) -> None:
        self._root = root
        self._opening = opening or best_opening()
        self._path = b""
        self._handle = root

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._leave()

    def of(self, path: bytes) -> tuple[int, bytes]:
        """The handle of what holds `path`, good until the next call, and the last name.

        Raises `UnsafePath`, `OSError`.
        """
        above, _, name = path.rpartition(b"/")
        if above != self._path:
            self._leave()
            if not above:
                return self._root, name
            if b"\0" in above:
                raise UnsafePath(repr(above[:300]))
            try:
                self._handle = opened(self._root, above, self._opening)
            except OSError as error:
                if error.errno in UNSAFE:
                    raise UnsafePath(repr(above[:300])) from error
                raise
            self._path = above
        return self._handle, name

    def _leave(self) -> None:
        if self._handle != self._root:
            os.close(self._handle)
        self._handle, self._path = self._root, b""


def opened(root: int, path: bytes, opening: Opening) -> int:
    """Raises `OSError`."""
    if len(path) < PATH_MAX:
        return opening(root, path)
    current = os.dup(root)
    try:
        for piece in _pieces(path):
            following = opening(current, piece)
            os.close(current)
            current = following
    except OSError:
        os.close(current)
        raise
    return current


def _pieces(path: bytes) -> list[bytes]:
    pieces: list[bytes] = []
    for part in parts_of(path):
        if pieces and len(pieces[-1]) + 1 + len(part) < PATH_MAX:
            pieces[-1] += b"/" + part
        else:
            pieces.append(part)
    return pieces


def at_once(root: int, path: bytes) -> int:
    """By `openat2`."""
    while True:
        handle: int = _libc.syscall(
            ctypes.c_long(OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(path),
            ctypes.byref(_HOW),
            ctypes.c_size_t(ctypes.sizeof(_HOW)),
        )
        if handle >= 0:
            return handle
        number = ctypes.get_errno()
        # EAGAIN: something was renamed meanwhile, and the kernel does not know whether it matters
        if number not in {errno.EAGAIN, errno.EINTR}:
            raise OSError(number, os.strerror(number))


def step_by_step(root: int, path: bytes) -> int:
    current = os.dup(root)
    try:
        for part in parts_of(path):
            following = os.open(part, DIRECTORY, dir_fd=current)
            os.close(current)
            current = following
    except BaseException:
        os.close(current)
        raise
    return current


@cache
def best_opening() -> Opening:
    try:
        os.close(at_once(_here(), b"."))
    except OSError:
        return step_by_step
    return at_once


@cache
def _here() -> int:
    return os.open("/", DIRECTORY)
