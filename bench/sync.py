"""How fast a workspace is saved and brought back: ours beside restic, rclone, s5cmd and tar | zstd.

One run, the same trees, the same object store (the stand-in of the tests, in a container). Each
takes turns: a first save of 10,000 source-like files, a save without a change, one after a change
of every hundredth file, a restore into an empty directory; then one incompressible file of 500 MiB
out and in. After each restore the tree is compared with its source. Ours is what an executor does,
without the relay, in a process of its own (`bench.sync_ours`); its start is not counted in seconds,
nor that of Python in tar's (in `cpu_seconds` all is). Requests are counted by the store itself. At
the end ours saves and restores 200,000 tiny files, which is no race; `peak_mb` is the most memory
that any of its processes ever had. `through_relay` is ours again, by a real relay.

    python -m bench.sync [rounds] [peer ...]

Needs `restic`, `zstd` and `tar` (Debian's packages, installed if they are missing and we are root);
rclone and s5cmd come with the development environment. Last line: JSON, seconds as medians; `ratio`
is ours to the best peer. There `tar` is one process of Python's: tarfile, zstandard, boto3. GNU tar
and zstd piped into boto3 (`tar-programs`) are native code, and stand beside it, with a ratio of
their own: `ratio_to_tar_programs`.
"""

import json
import os
import secrets
import shutil
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import boto3
import docker

from bench import sync_data as data
from bench import sync_tools
from bench.sync_ours import Ours
from bench.sync_peers import BUCKET, Peer, Rclone, Restic, S5cmd, Spent, Store, Tar
from bench.sync_relay import by_relay
from bench.sync_witness import Witness
from deploy import store as stand_in

ROUNDS = 3
PEERS = ("restic", "tar", "rclone", "s5cmd")
PROGRAMS = "tar-programs"
BUSY = 3.0
GOALS = {
    "save_small": 0.5,
    "restore_small": 0.6,
    "no_change": 0.4,
    "one_percent": 0.4,
    "save_large": 1.0,
    "restore_large": 1.5,
}
PEAK_MB = 200


class Figures:
    """By what was done, and by whom."""

    def __init__(self) -> None:
        self.spent: dict[str, dict[str, list[Spent]]] = defaultdict(lambda: defaultdict(list))
        self.requests: dict[str, dict[str, int]] = defaultdict(dict)

    def median(self, what: str, who: str, of: Callable[[Spent], float]) -> float:
        return statistics.median(map(of, self.spent[what][who]))

    def ratio(self, what: str, peers: Collection[str]) -> float | None:
        """Ours to the best of those that ran."""
        medians = {who: self.median(what, who, lambda one: one.seconds) for who in self.spent[what]}
        others = [seconds for who, seconds in medians.items() if who in peers]
        return round(medians["ours"] / min(others), 3) if others else None

    def table(self, of: Callable[[Spent], float]) -> dict[str, dict[str, float]]:
        return {
            what: {who: round(self.median(what, who, of), 3) for who in everybody}
            for what, everybody in self.spent.items()
        }

    def peak_mb(self) -> float:
        ours = [one.peak_mb for everybody in self.spent.values() for one in everybody["ours"]]
        return round(max(ours), 1)


class Bench:
    def __init__(self, store: Store, witness: Witness, work: Path, peers: Sequence[str]) -> None:
        self.figures = Figures()
        self.ours = Ours(store, work / "ours")
        others = (
            Restic(store, work / "restic"),
            Tar(store),
            Tar(store, PROGRAMS, "programs"),
            Rclone(store),
            S5cmd(store),
        )
        self.peers: list[Peer] = [self.ours, *(one for one in others if one.name in peers)]
        self._store = store
        self._witness = witness
        self._work = work
        self._numbers = count()

    def small(self, number: int) -> None:
        for peer in self._turns(number):
            tree = self._fresh()
            data.small(tree)
            under = f"small-{number}-{peer.name}"
            self._timed("save_small", peer, partial(peer.save, tree, under))
            self._timed("no_change", peer, partial(peer.save, tree, under))
            data.change(tree, number)
            self._timed("one_percent", peer, partial(peer.save, tree, under))
            self._restored("restore_small", peer, under, tree)

    def large(self, number: int) -> None:
        for peer in self._turns(number):
            tree = self._fresh()
            data.large(tree)
            under = f"large-{number}-{peer.name}"
            self._timed("save_large", peer, partial(peer.save, tree, under))
            shutil.rmtree(self._restored("restore_large", peer, under, tree))
            shutil.rmtree(tree)

    def many(self) -> None:
        tree = self._fresh()
        data.many(tree)
        self._timed("save_many", self.ours, partial(self.ours.save, tree, "many"))
        self._timed("no_change_many", self.ours, partial(self.ours.save, tree, "many"))
        self._restored("restore_many", self.ours, "many", tree)

    def through_relay(self, rounds: int) -> dict[str, float]:
        """Median seconds."""
        spent: dict[str, list[float]] = defaultdict(list)

        def play(ours: Ours) -> None:
            for number in range(rounds):
                for size, fill in (("small", data.small), ("large", data.large)):
                    tree, target = self._fresh(), self._fresh()
                    fill(tree)
                    target.mkdir()
                    spent[f"save_{size}"].append(ours.save(tree, f"{size}-{number}").seconds)
                    took = ours.restore(f"{size}-{number}", target).seconds
                    spent[f"restore_{size}"].append(took)
                    self._compare(f"{size} through the relay", tree, target)

        by_relay(self._store, self._work / "r", play)
        return {what: round(statistics.median(took), 3) for what, took in spent.items()}

    def _restored(self, what: str, peer: Peer, under: str, tree: Path) -> Path:
        target = self._fresh()
        target.mkdir()
        self._timed(what, peer, partial(peer.restore, under, target))
        self._compare(f"{what}: {peer.name}", tree, target)
        return target

    def _compare(self, who: str, tree: Path, target: Path) -> None:
        assert data.digest(target) == data.digest(tree), f"{who}: the tree differs"

    def _turns(self, number: int) -> list[Peer]:
        """Nobody is always the first."""
        first = number % len(self.peers)
        return self.peers[first:] + self.peers[:first]

    def _fresh(self) -> Path:
        """Where nothing was: each inode that was freed in the last minutes costs who makes a file
        there a look (ext4), so nothing is removed before the end.
        """
        place = self._work / str(next(self._numbers))
        place.mkdir()
        return place / "tree"

    def _timed(self, what: str, peer: Peer, act: Callable[[], Spent]) -> None:
        os.sync()
        before = self._witness.requests()
        spent = act()
        self.figures.spent[what][peer.name].append(spent)
        self.figures.requests[what][peer.name] = self._witness.requests() - before
        print(f"{what:14} {peer.name:8} {spent.seconds:7.2f} s  {spent.cpu:6.2f} s CPU", flush=True)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    known = (*PEERS, PROGRAMS)
    peers = sys.argv[2:] or known
    if unknown := set(peers) - set(known):
        sys.exit(f"bench-sync: unknown peers {sorted(unknown)}; there are {', '.join(known)}")
    sync_tools.prepare()
    engine, name = docker.from_env(), f"berth-bench-store-{secrets.token_hex(3)}"
    with tempfile.TemporaryDirectory(prefix="bbs", dir="/tmp") as work:  # sockets' paths are short
        try:
            told = stand_in.start(engine, name)
            store = Store(
                told["BERTH_TEST_S3_URL"],
                told["BERTH_TEST_S3_ACCESS_KEY"],
                told["BERTH_TEST_S3_SECRET_KEY"],
            )
            witness = Witness(engine, name)
            _make_bucket(store, witness)
            print(json.dumps(_played(Bench(store, witness, Path(work), peers), rounds)))
        finally:
            stand_in.stop(engine, name)


def _played(bench: Bench, rounds: int) -> dict[str, object]:
    load = os.getloadavg()[0]
    for number in range(rounds):
        bench.small(number)
        bench.large(number)
    bench.many()
    figures = bench.figures
    ratio = {what: figures.ratio(what, PEERS) for what in GOALS}
    peak = figures.peak_mb()
    return {
        "ratio": ratio,
        "goals": GOALS,
        "met": peak <= PEAK_MB and all((ratio[what] or 9) <= goal for what, goal in GOALS.items()),
        "ratio_to_tar_programs": {what: figures.ratio(what, {PROGRAMS}) for what in GOALS},
        "peak_mb": peak,
        "seconds": figures.table(lambda one: one.seconds),
        "cpu_seconds": figures.table(lambda one: one.cpu),
        "requests": figures.requests,
        "through_relay": bench.through_relay(rounds),
        "rounds": rounds,
        "load_before": round(load, 2),
        "busy": load > BUSY,
    }


def _make_bucket(store: Store, witness: Witness) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=store.url,
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        region_name="us-east-1",
    )
    before = witness.requests()
    client.create_bucket(Bucket=BUCKET)
    client.head_bucket(Bucket=BUCKET)
    assert witness.requests() - before == 2, "the store does not count its requests"
    # a new store makes its pools at the first object that it cannot keep beside its name
    client.put_object(Bucket=BUCKET, Key="first", Body=bytes(data.FIRST_BYTES))


if __name__ == "__main__":
    main()
