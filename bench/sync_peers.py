"""What `bench.sync` compares with: each saves a tree to the same store, and brings it back.

Every peer is a process of its own; its CPU seconds and its memory are the kernel's figures for it.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

BUCKET = "bench"


@dataclass(frozen=True)
class Store:
    url: str
    access_key: str
    secret_key: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


@dataclass(frozen=True)
class Spent:
    seconds: float
    cpu: float
    peak_mb: float


class Peer(Protocol):
    name: str

    def save(self, tree: Path, under: str) -> Spent: ...

    def restore(self, under: str, target: Path) -> Spent: ...


def run(command: list[str], environment: dict[str, str], *, reports: bool = False) -> Spent:
    """`reports`: its last line says how long it took, without the start of its interpreter, and may
    say its peak: a child's own count begins with what its parent had.
    """
    begun = time.perf_counter()
    with subprocess.Popen(
        command,
        env={"PATH": os.defpath + os.pathsep + str(Path(sys.executable).parent), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begun
    assert process.returncode == 0, f"{command[0]}: {said.decode(errors='replace')[-2000:]}"
    told = json.loads(said.splitlines()[-1]) if reports else {}
    return Spent(
        float(told.get("seconds", seconds)),
        used.ru_utime + used.ru_stime,
        float(told.get("peak_mb", used.ru_maxrss / 1024)),
    )


@dataclass
class Rclone:
    store: Store
    name: str = "rclone"

    def _flags(self) -> list[str]:
        return ["--transfers", "16", "--checkers", "16", "--config", "/dev/null"]

    def _environment(self) -> dict[str, str]:
        return self.store.environment | {
            "RCLONE_CONFIG_IT_TYPE": "s3",
            "RCLONE_CONFIG_IT_PROVIDER": "Ceph",
            "RCLONE_CONFIG_IT_ENV_AUTH": "true",
            "RCLONE_CONFIG_IT_ENDPOINT": self.store.url,
        }

    def save(self, tree: Path, under: str) -> Spent:
        command = ["rclone", "sync", str(tree), f"it:{BUCKET}/{under}", *self._flags()]
        return run(command, self._environment())

    def restore(self, under: str, target: Path) -> Spent:
        command = ["rclone", "sync", f"it:{BUCKET}/{under}", str(target), *self._flags()]
        return run(command, self._environment())


@dataclass
class S5cmd:
    store: Store
    name: str = "s5cmd"

    def _command(self, *words: str) -> list[str]:
        return ["s5cmd", "--endpoint-url", self.store.url, "--numworkers", "64", *words]

    def save(self, tree: Path, under: str) -> Spent:
        words = ("sync", f"{tree}/", f"s3://{BUCKET}/{under}/")
        return run(self._command(*words), self.store.environment)

    def restore(self, under: str, target: Path) -> Spent:
        words = ("sync", f"s3://{BUCKET}/{under}/*", f"{target}/")
        return run(self._command(*words), self.store.environment)


@dataclass
class Restic:
    store: Store
    cache: Path
    name: str = "restic"
    _made: set[str] = field(default_factory=set)
    _password: str = field(default_factory=lambda: secrets.token_hex(8))

    def _run(self, under: str, *words: str) -> Spent:
        environment = self.store.environment | {
            "RESTIC_REPOSITORY": f"s3:{self.store.url}/{BUCKET}/{under}",
            "RESTIC_PASSWORD": self._password,
            "RESTIC_CACHE_DIR": str(self.cache),
        }
        return run(["restic", "-q", *words], environment)

    def save(self, tree: Path, under: str) -> Spent:
        if under not in self._made:
            self._made.add(under)
            self._run(under, "init")
        return self._run(under, "backup", str(tree))

    def restore(self, under: str, target: Path) -> Spent:
        spent = self._run(under, "restore", "latest", "--target", str(target))
        # it keeps whole paths; where they end is where the tree stands
        (inner,) = (path for path in target.rglob("tree") if path.is_dir())
        for found in inner.iterdir():
            shutil.move(found, target)
        shutil.rmtree(target / inner.relative_to(target).parts[0])
        return spent


@dataclass
class Tar:
    """One object: a tar stream through zstd, by boto3. `way`: see `bench.sync_tar`."""

    store: Store
    name: str = "tar"
    way: str = "python"

    def _run(self, *words: str) -> Spent:
        command = [sys.executable, "-m", "bench.sync_tar", self.store.url, BUCKET, self.way, *words]
        environment = self.store.environment | {"PYTHONPATH": str(Path(__file__).parents[1])}
        return run(command, environment, reports=True)

    def save(self, tree: Path, under: str) -> Spent:
        return self._run("save", str(tree), under)

    def restore(self, under: str, target: Path) -> Spent:
        return self._run("restore", under, str(target))
