"""A store that throttles, fails, cuts, stalls and lies, by a proxy before the real one: saved and
restored bit for bit, or failed by its name and within its bounds; never anything in between.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from chassis.objects import ObjectStore
from executor.workspace.errors import Corrupt, RestoreFailed, SaveFailed
from executor.workspace.restoring import wipe
from executor.workspace.saving import Saved
from executor.workspace.transfer import ATTEMPTS, Transfer
from tests.executor.snapshots import Disk, disk_at, manifest_in, point_of
from tests.executor.straight import Straight
from tests.executor.trees import Line, canonical, make_odd_tree
from tests.fixtures.object_store import StoreServer
from tests.fixtures.signing import Signer
from tests.fixtures.store_proxy import Asked, Breaks, StoreProxy, store_proxy

SOMETIMES: list[Breaks | None] = [
    "slow_down",
    "error",
    "refused",
    "cut_request",
    "cut_answer",
    "lost",
    None,
]
WEIGHTS = [6, 1, 1, 1, 1, 1, 9]
MOST_IN_A_ROW = ATTEMPTS - 2


@dataclass
class Way:
    """To the store, by the proxy."""

    proxy: StoreProxy
    signer: Signer
    relay: Straight
    disk: Disk

    @property
    def transfer(self) -> Transfer:
        return Transfer(self.relay, epoch=1)

    async def save(self) -> Saved:
        return await self.disk.save(self.transfer)

    async def restore(self, saved: Saved) -> None:
        signed = self.relay.sign(saved.draft.manifest_key)
        await self.disk.restore(self.transfer, point_of(saved, signed))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.workspace.transfer.pause", lambda _: 0.0)


@pytest.fixture
async def way(place: Path, object_store_server: StoreServer) -> AsyncGenerator[Way]:
    store = object_store_server
    async with store_proxy(store.endpoint) as proxy:
        signer = Signer(proxy.url, store.bucket, store.access_key, store.secret_key)
        relay = Straight(proxy.url, signer, f"t/{uuid4().hex}")
        yield Way(proxy, signer, relay, disk_at(place))
        await relay.aclose()


@pytest.fixture
def tree(way: Way) -> list[Line]:
    """Of several packs: some small files, some that are a frame or more each."""
    root = way.disk.root
    make_odd_tree(root)
    (root / "many").mkdir()
    for number in range(300):
        (root / "many" / f"f{number}").write_bytes(os.urandom(2000) + b"%d" % number)
    for number in range(3):
        (root / f"large{number}").write_bytes(os.urandom(9 << 20))
    return canonical(root)


def from_dice(seed: int, uploads: dict[str, str]) -> Callable[[Asked], Breaks | None]:
    """Never so often in a row that giving up would be right, at whatever keys it is tried."""
    dice, row = random.Random(seed), Counter[str]()

    def breaks(asked: Asked) -> Breaks | None:
        _, bucket, key = asked.path.split("/", 2)
        what = uploads[key] if asked.method == "PUT" else f"{bucket}/{key}"
        fault = dice.choices(SOMETIMES, WEIGHTS)[0] if row[what] < MOST_IN_A_ROW else None
        row[what] = row[what] + 1 if fault else 0
        return fault

    return breaks


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_store__that_fails_more_often_than_not(way: Way, tree: list[Line], seed: int) -> None:
    way.proxy.breaks = from_dice(seed, way.relay.uploads)
    saved = await way.save()
    await way.restore(saved)
    assert canonical(way.disk.root) == tree
    assert sum(way.proxy.broken.values()) > 3


@pytest.mark.parametrize("fault", ["slow_down", "error", "refused", "cut_request", "lost"])
async def test_save__gives_up_in_bounds_and_the_next_one_succeeds(
    way: Way, tree: list[Line], fault: Breaks
) -> None:
    before = await way.save()
    (way.disk.root / "written").write_text("since")
    after = canonical(way.disk.root)
    way.proxy.breaks = lambda asked: fault if asked.method == "PUT" else None
    asked = way.proxy.asked["PUT"]
    with pytest.raises(SaveFailed, match="upload_failed"):
        await way.save()
    assert way.proxy.asked["PUT"] - asked == ATTEMPTS
    way.proxy.breaks = lambda _: None
    saved = await way.save()
    for one, expected in ((before, tree), (saved, after)):
        await way.restore(one)
        assert canonical(way.disk.root) == expected


@pytest.mark.parametrize("fault", ["slow_down", "error", "refused", "cut_answer", "lost"])
async def test_restore__gives_up_in_bounds_and_the_next_one_succeeds(
    way: Way, tree: list[Line], fault: Breaks
) -> None:
    saved = await way.save()
    way.proxy.breaks = lambda asked: fault if "/pack/" in asked.path else None
    with pytest.raises(RestoreFailed, match="download_failed"):
        await way.restore(saved)
    assert way.proxy.broken[fault] <= ATTEMPTS * len(manifest_in(saved).packs)
    shown = [path.name for path in way.disk.root.iterdir()]
    assert all(name.startswith(".berth-restore-") for name in shown)
    way.proxy.breaks = lambda _: None
    await way.restore(saved)
    assert canonical(way.disk.root) == tree


@pytest.mark.parametrize("fault", ["silent", "stalled"])
async def test_stall__ends_by_its_deadline_and_is_tried_again(
    way: Way, fault: Breaks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline of an object is long: here it is short, as the objects are, and the stall is
    without end."""
    make_odd_tree(way.disk.root)
    await way.save()
    (way.disk.root / "second").write_text("in a pack of its own")
    tree = canonical(way.disk.root)
    monkeypatch.setattr("executor.relay.OBJECT_SECONDS", 1.0)
    once = set[str]()

    def first_of_each(asked: Asked) -> Breaks | None:
        if asked.path in once or asked.method + fault == "PUTstalled":
            return None
        once.add(asked.path)
        return fault

    way.proxy.breaks = first_of_each
    saved = await way.save()
    await way.restore(saved)
    assert canonical(way.disk.root) == tree
    assert way.proxy.broken[fault] > 2


async def test_slow__a_megabyte_a_second_is_enough(way: Way) -> None:
    (way.disk.root / "f").write_bytes(os.urandom(1 << 20))
    tree = canonical(way.disk.root)
    way.proxy.rate = 1 << 20
    saved = await way.save()
    await way.restore(saved)
    assert canonical(way.disk.root) == tree


@pytest.mark.parametrize("fault", ["shorter", "flipped"])
@pytest.mark.parametrize("which", ["/pack/", "/manifest/"])
async def test_lie__in_an_answer_is_never_restored(
    way: Way, tree: list[Line], which: str, fault: Breaks
) -> None:
    saved = await way.save()
    way.proxy.breaks = lambda asked: fault if which in asked.path else None
    with pytest.raises(RestoreFailed) as refused:
        await way.restore(saved)
    assert isinstance(refused.value, Corrupt)
    assert not [path for path in way.disk.root.iterdir() if path.name[:7] != ".berth-"]
    way.proxy.breaks = lambda _: None
    await way.restore(saved)
    assert canonical(way.disk.root) == tree


async def test_lie__wrong_bytes_that_are_stored_are_found(
    way: Way, tree: list[Line], object_store: ObjectStore
) -> None:
    """Every byte of an object counts: one that is wrong anywhere in it is seen."""
    saved = await way.save()
    for pack in manifest_in(saved).packs[:2]:
        right = await object_store.get(pack.key)
        for at in (0, 9, len(right) // 2, len(right) - 1):
            wrong = right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :]
            await object_store.put(pack.key, wrong)
            with pytest.raises(Corrupt):
                await way.restore(saved)
            wipe(way.disk.root)
        await object_store.put(pack.key, right)
    await way.restore(saved)
    assert canonical(way.disk.root) == tree


async def test_put__whose_bytes_change_on_the_way_is_not_taken(way: Way, tree: list[Line]) -> None:
    """The store compares with the MD5 that was signed; the next attempt is whole."""
    real, spoilt = way.proxy._received, Counter[str]()

    async def spoiling(reader: asyncio.StreamReader, length: int) -> bytes:
        body = await real(reader, length)
        if length > 100_000 and spoilt["times"] < 2:
            spoilt["times"] += 1
            return body[:-1] + bytes([body[-1] ^ 1])
        return body

    way.proxy._received = spoiling
    saved = await way.save()
    assert spoilt["times"] == 2
    await way.restore(saved)
    assert canonical(way.disk.root) == tree


async def test_urls__that_expire_in_the_middle_are_asked_for_again(
    way: Way, tree: list[Line]
) -> None:
    """All that were signed at first are over before they are used."""
    way.signer.expired = 3
    saved = await way.save()
    assert way.relay.asked["uploads"] == len(saved.draft.packs) + 1 + 3
    # the manifest's, and those of all packs at once
    way.signer.expired = 1 + len(saved.draft.packs)
    before = way.relay.asked["downloads"]
    await way.restore(saved)
    assert canonical(way.disk.root) == tree
    assert way.signer.expired == 0
    assert way.relay.asked["downloads"] - before <= 2 + len(saved.draft.packs)


async def test_lost__an_upload_that_was_taken_is_made_again_at_the_same_key(
    way: Way, tree: list[Line], object_store: ObjectStore
) -> None:
    lost = set[str]()

    def each_once(asked: Asked) -> Breaks | None:
        if asked.method == "GET" or asked.path in lost:
            return None
        lost.add(asked.path)
        return "lost"

    way.proxy.breaks = each_once
    saved = await way.save()
    stored = await object_store.list(way.relay.prefix)
    assert {found.key for found in stored} == {saved.draft.manifest_key, *saved.draft.packs}
    await way.restore(saved)
    assert canonical(way.disk.root) == tree
