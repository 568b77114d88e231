"""The trees that `bench.sync` saves: made the same each time, from a seed."""

import hashlib
import os
import random
import sysconfig
from pathlib import Path

FILES = 10_000
MEAN_BYTES = 6500
"""About 65 MB in all."""
LARGE_BYTES = 500 * 1024 * 1024
FIRST_BYTES = 8 * 1024 * 1024
CHANGED = 100
"""One in a hundred."""
MANY = 200_000
PER_DIRECTORY = 25
SEED = 20
_CORPUS_BYTES = 24 * 1024 * 1024


def small(root: Path, count: int = FILES, mean: int = MEAN_BYTES) -> None:
    """Source-like: cuts of the standard library's own sources, of many sizes, in directories."""
    dice, corpus = _dice(), _corpus()
    for number in range(count):
        at = root / f"package_{number // 1000}" / f"module_{number // PER_DIRECTORY}"
        at.mkdir(parents=True, exist_ok=True)
        size = min(int(dice.lognormvariate(0, 1) * mean / 1.65), 400_000)
        start = dice.randrange(len(corpus) - size)
        head = f"# {number}\n".encode()
        (at / f"file_{number}.py").write_bytes(head + corpus[start : start + size])


def many(root: Path, count: int = MANY) -> None:
    """Tiny ones, as of a directory of dependencies."""
    for number in range(count):
        at = root / f"node_modules_{number // 5000}" / f"package_{number // 50}"
        if number % 50 == 0:
            at.mkdir(parents=True, exist_ok=True)
        (at / f"part_{number}.js").write_bytes(b"module.exports = %d\n" % number * 8)


def large(root: Path) -> None:
    """One incompressible file."""
    root.mkdir()
    dice = _dice()
    with (root / "large.bin").open("wb") as file:
        for _ in range(LARGE_BYTES // (1024 * 1024)):
            file.write(dice.randbytes(1024 * 1024))


def change(root: Path, round_number: int) -> None:
    """A line more in one file of a hundred."""
    dice = _dice(1 + round_number)
    for number in dice.sample(range(FILES), CHANGED):
        at = root / f"package_{number // 1000}" / f"module_{number // PER_DIRECTORY}"
        with (at / f"file_{number}.py").open("ab") as file:
            file.write(b"# changed %d\n" % round_number)


def digest(root: Path) -> str:
    """Of names, contents and permissions: what a restore must give back."""
    whole = hashlib.sha256()
    for at, directories, files in os.walk(root):
        directories.sort()
        for name in sorted(files):
            path = Path(at) / name
            whole.update(str(path.relative_to(root)).encode() + b"\0")
            whole.update(b"%o\0" % (path.stat().st_mode & 0o777))
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _dice(which: int = 0) -> random.Random:
    return random.Random(SEED + which)  # noqa: S311  # the same each time


def _corpus() -> bytes:
    library = Path(sysconfig.get_path("stdlib"))
    whole = bytearray()
    for path in sorted(library.rglob("*.py")):
        if "site-packages" not in path.parts:
            whole += path.read_bytes()
        if len(whole) > _CORPUS_BYTES:
            break
    return bytes(whole)
