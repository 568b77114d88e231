# ruff: noqa: PTH101, PTH102, PTH103, PTH123, PTH211  # names that are not UTF-8 are bytes here
"""Runs inside a session: makes below `odd` everything that a Unix tree can have.

The standard library alone; paths are bytes.
"""

import os
import random
import socket
import sys

LONGEST_NAME = 255
LONGEST_PATH = 4096
MIB = 1024 * 1024
MODES = (0o400, 0o600, 0o644, 0o755, 0o4711, 0o2750, 0o1644, 0o000)
DAY_ONE, LATE = 86_400_000_000_001, 4_102_444_800_123_456_789


def write(name: bytes, content: bytes = b"", mode: int = 0o644) -> None:
    with open(name, "wb") as file:
        file.write(content)
    os.chmod(name, mode)


def kinds() -> None:
    os.makedirs(b"empty/er")
    os.mkdir(b"locked", 0o700)
    write(b"locked/in", b"in\n")
    for mode in MODES:
        write(b"mode-%o" % mode, b"%o\n" % mode, mode)
    for name, target in (
        (b"dangling", b"nowhere/at/all"),
        (b"outside", b"/etc/passwd"),
        (b"up", b"../../../.."),
        (b"inward", b"locked"),
        (b"self", b"self"),
        (b"strange", b"\xff\n\xfe"),
    ):
        os.symlink(target, name)
    os.mkfifo(b"fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(b"socket")


def contents() -> None:
    dice = random.Random(6)
    write(b"one", b"1")
    write(b"nothing")
    write(b"pieces", dice.randbytes(5 * MIB + 1))
    os.mkdir(b"many")
    for number in range(40):
        write(b"many/%d" % number, dice.randbytes(number * 40))
    os.mkdir(b"others")
    for name in (b"others/twin", b"zz-twin"):
        os.link(b"one", name)
    with open(b"sparse", "wb") as file:
        for at in (8 * MIB, 24 * MIB):
            file.seek(at)
            file.write(dice.randbytes(4096))
        file.truncate(64 * MIB)


def names() -> None:
    os.mkdir(b"names")
    for name in (
        b"n" * LONGEST_NAME, b"\xff\xfe\x80 not UTF-8", b"two\nlines", b"tab\t", b" ", b"-rf",
        b"back\\slash", b"quote'\"`$(id)", b"%2e%2e", b"...", b".hidden", b"CASE", b"case",
        "é".encode(), b"e\xcc\x81", "\u202etxt".encode(),
    ):  # fmt: skip
        write(b"names/" + name, name)


def longest() -> None:
    """A path of 4,096 bytes from the workspace, which no one call could name."""
    here, length = os.open(b".", os.O_RDONLY), len(b"odd/")
    try:
        while LONGEST_PATH - length > LONGEST_NAME:
            name = b"d" * 250
            os.mkdir(name, dir_fd=here)
            inner = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here, length = inner, length + len(name) + 1
        name = b"f" * (LONGEST_PATH - length)
        with os.fdopen(os.open(name, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=here), "wb") as file:
            file.write(b"deep")
    finally:
        os.close(here)


def times() -> None:
    os.utime(b"one", ns=(0, DAY_ONE))
    os.utime(b"nothing", ns=(0, LATE))
    os.utime(b"dangling", ns=(0, DAY_ONE), follow_symlinks=False)
    os.utime(b"empty", ns=(0, DAY_ONE))
    os.chmod(b"locked", 0o500)


os.mkdir(b"odd")
os.chdir(b"odd")
for make in (kinds, contents, names, longest, times):
    make()
sys.stdout.write("made\n")
