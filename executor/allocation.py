"""How the C library keeps memory that was given back.

A save or a restore has a few packs of several MiB in memory, made and freed again and again in a
dozen threads. By default each thread gets an arena of its own, and each large piece is mapped and
unmapped: of 500 MiB that are restored half the CPU's time goes into pages that are given and taken.
One arena keeps them for the next piece; when the work is done all of it is the kernel's again.
"""

import ctypes
from collections.abc import Generator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Of `mallopt(3)`."""
ARENAS = 1
"""What makes pieces holds the interpreter's lock, most of the time."""
KEPT_BYTES = 32 * 1024 * 1024
"""Pieces up to this size are used again; more than this at the end of the arena is not kept."""


def keep_for_packs() -> bool:
    """Before there is another thread. False: a C library that has no such settings."""
    settings = (
        (M_ARENA_MAX, ARENAS),
        (M_MMAP_THRESHOLD, KEPT_BYTES),
        (M_TRIM_THRESHOLD, KEPT_BYTES),
    )
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return all(mallopt(which, value) == 1 for which, value in settings)


@contextmanager
def given_back() -> Generator[None]:
    """When what is done within is over, nothing of its memory stays with this process."""
    try:
        yield
    finally:
        library = ctypes.CDLL(None)
        if hasattr(library, "malloc_trim"):
            library.malloc_trim(0)
