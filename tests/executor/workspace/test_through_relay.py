"""The same by a real relay, as executors go: a store that fails behind it is tried again, what is
cut on the way is never taken for whole, and a relay that is killed is waited for.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from chassis.objects import ObjectStore
from contracts.relay import RELAY_ROUTES, RelayRoutes
from executor.relay import Relay
from executor.workspace.transfer import Transfer
from tests.executor.outside import Outside
from tests.executor.snapshots import Disk, disk_at, point
from tests.executor.trees import canonical, make_odd_tree
from tests.executor_manager import relays
from tests.fixtures.object_store import StoreServer
from tests.fixtures.serving import serving
from tests.fixtures.store_proxy import Asked, Breaks, StoreProxy, store_proxy

FAULTS: tuple[Breaks, ...] = ("slow_down", "error", "refused", "cut_answer", "lost")


@dataclass
class Way:
    proxy: StoreProxy
    process: relays.Relay
    routes: RelayRoutes
    worker_id: UUID
    outside: Outside
    transfer: Transfer
    disk: Disk


@pytest.fixture
async def way(place: Path, object_store_server: StoreServer) -> AsyncGenerator[Way]:
    store = object_store_server
    async with store_proxy(store.endpoint) as proxy:
        # what is signed names the host that the relay is told of: the proxy
        objects = ObjectStore(
            store.endpoint,
            store.bucket,
            store.access_key,
            store.secret_key,
            store.region,
            signed_endpoint_url=proxy.url,
        )
        outside = Outside(objects, f"t/{uuid4().hex}")
        async with (
            serving(outside) as control_plane,
            relays.Relay(place / "relay", RELAY_WAIT_SECONDS="2") as process,
        ):
            routes = RelayRoutes(control_plane_url=control_plane, object_store_url=proxy.url)
            await process.admin.call(RELAY_ROUTES, routes)
            bound = await process.bind()
            relay = Relay(bound.path.parent, str(bound.worker_id))
            transfer = Transfer(relay, epoch=1)
            yield Way(proxy, process, routes, bound.worker_id, outside, transfer, disk_at(place))
            await relay.aclose()
        objects.close()


def make_tree(root: Path) -> None:
    make_odd_tree(root)
    for number in range(3):
        (root / f"large{number}").write_bytes(os.urandom(9 << 20))


async def test_relay__every_object_fails_in_every_way_and_then_comes(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.workspace.transfer.pause", lambda _: 0.0)
    make_tree(way.disk.root)
    tree, times = canonical(way.disk.root), Counter[tuple[str, str]]()

    def each_in_turn(asked: Asked) -> Breaks | None:
        number = times[asked.method, asked.path]
        times[asked.method, asked.path] += 1
        return FAULTS[number] if number < len(FAULTS) else None

    way.proxy.breaks = each_in_turn
    saved = await way.disk.save(way.transfer)
    known = point(way.outside, saved)
    await way.disk.restore(way.transfer, known)
    assert canonical(way.disk.root) == tree
    assert set(way.proxy.broken) == set(FAULTS)


async def test_relay__killed_in_the_middle_is_waited_for(way: Way) -> None:
    """It comes back with another boot; whoever was served meanwhile asks again."""
    make_tree(way.disk.root)
    tree = canonical(way.disk.root)
    begun = asyncio.Event()
    way.proxy.rate = 16 << 20
    way.proxy.breaks = lambda _: begun.set()
    saving = asyncio.create_task(way.disk.save(way.transfer))
    async with asyncio.timeout(20):
        await begun.wait()
    await way.process.kill()
    await way.process.start()
    await way.process.admin.call(RELAY_ROUTES, way.routes)
    await way.process.bind(way.worker_id)
    saved = await saving
    await way.disk.restore(way.transfer, point(way.outside, saved))
    assert canonical(way.disk.root) == tree
