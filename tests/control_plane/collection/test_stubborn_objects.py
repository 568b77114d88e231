"""Objects that no verification can read to their end: it ends all the same, and names them."""

from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import pytest

from chassis.errors import DependencyUnavailable
from chassis.objects import CutShort, ObjectStore
from contracts.verifications import Verification
from control_plane.services.collection import Collection
from snapshots.manifest import ManifestWriter
from tests.control_plane.collection.conftest import NOW
from tests.control_plane.collection.test_verification import ALL, FILES, Verifier
from tests.fixtures.object_store import StoreServer
from tests.fixtures.office import Office
from tests.fixtures.saved import Saved, Saver
from tests.fixtures.store_proxy import Asked, Breaks, StoreProxy, store_proxy


@pytest.fixture
async def proxy(object_store_server: StoreServer) -> AsyncGenerator[StoreProxy]:
    async with store_proxy(object_store_server.endpoint) as proxy:
        yield proxy


@pytest.fixture
async def passing(
    proxy: StoreProxy, object_store_server: StoreServer
) -> AsyncGenerator[ObjectStore]:
    """The store, through the proxy."""
    server = object_store_server
    store = ObjectStore(proxy.url, server.bucket, server.access_key, server.secret_key)
    yield store
    store.close()


def cutting(proxy: StoreProxy, key: str, times: int = 1000, how: Breaks = "cut_answer") -> None:
    left: list[Breaks] = [how] * times

    def breaks(asked: Asked) -> Breaks | None:
        wanted = asked.method == "GET" and asked.path.endswith(key)
        return left.pop() if wanted and left else None

    proxy.breaks = breaks


async def verified(verifier: Verifier) -> Verification:
    made = await verifier.ask(ALL)
    await verifier.another().run_once()
    return await verifier.asked.get(made)


async def test_cut_short__is_told_from_a_store_that_is_away(
    saver: Saver, office: Office, passing: ObjectStore, proxy: StoreProxy
) -> None:
    key = await saver.upload(await office.session(), b"content" * 1000)
    cutting(proxy, key)
    for call in (passing.get(key), passing.get_at_most(key, 10_000)):
        with pytest.raises(CutShort):
            await call
    cutting(proxy, key, how="error")
    with pytest.raises(DependencyUnavailable) as away:
        await passing.get(key)
    assert not isinstance(away.value, CutShort)


@pytest.mark.parametrize("which", ["pack", "manifest"])
async def test_verify__what_the_store_always_cuts_short_is_damaged(
    office: Office, saver: Saver, passing: ObjectStore, proxy: StoreProxy, which: str
) -> None:
    hurt = await saver.save(await office.session(), FILES)
    whole = await saver.save(await office.session(), FILES)
    key = hurt.keys[0] if which == "pack" else hurt.manifest_key
    cutting(proxy, key)
    verifier = Verifier(office, passing)
    done = await verified(verifier)
    assert (done.state, done.snapshots) == ("done", {"damaged": 1, "intact": 1})
    found = await verifier.findings(done.id)
    assert {(one.snapshot_id, one.object) for one in found} == {(hurt.id, key)}
    assert all("cut short" in one.found for one in found)
    assert whole.id not in await verifier.damaged(done.id)


async def test_verify__what_was_cut_short_now_and_then_is_whole(
    office: Office, saver: Saver, passing: ObjectStore, proxy: StoreProxy
) -> None:
    saved = await saver.save(await office.session(), FILES)
    cutting(proxy, saved.keys[0], times=2)
    done = await verified(Verifier(office, passing))
    assert (done.state, done.snapshots) == ("done", {"intact": 1})
    assert proxy.broken["cut_answer"] == 2


async def test_collect__a_manifest_that_is_always_cut_short_holds_up_its_project_alone(
    office: Office, saver: Saver, objects: ObjectStore, passing: ObjectStore, proxy: StoreProxy
) -> None:
    broken = await saver.save(await office.session(), FILES, named=False)
    left = await saver.upload(await office.session(), b"nobody's")
    cutting(proxy, broken.manifest_key)
    counts = await Collection(office.database, passing, NOW, pause=0.0).run_once()
    assert counts["deleted"] == 1
    assert left not in {one.key for one in await objects.list("p/")}
    assert "cut short" in await office.value("SELECT damage FROM snapshots")


async def crooked(office: Office, saver: Saver, base: Saved) -> UUID:
    """A snapshot upon it whose manifest can be opened, and whose items cannot be."""
    crooked = await saver.save(base.session_id, {}, base=base, order_in_epoch=2)
    writer = ManifestWriter()
    for item in reversed(base.items):
        writer.add(item)
    stored = writer.finish(list(base.packs), [])
    key = await saver.upload(base.session_id, stored, "manifest")
    await office.execute(
        "UPDATE snapshots SET manifest_key = $2, manifest_sha256 = encode(sha256($3), 'hex')"
        " WHERE id = $1",
        crooked.id,
        key,
        stored,
    )
    return crooked.id


async def test_verify__a_manifest_whose_items_lie_spoils_no_other(
    office: Office, saver: Saver, objects: ObjectStore
) -> None:
    """It names the packs of one that is whole."""
    base = await saver.save(await office.session(), FILES)
    lying = await crooked(office, saver, base)
    verifier = Verifier(office, objects)
    done = await verified(verifier)
    assert (done.state, done.snapshots) == ("done", {"damaged": 1, "intact": 1})
    (found,) = await verifier.findings(done.id)
    assert (found.snapshot_id, found.path) == (lying, "")
    assert "out of order" in found.found


@pytest.mark.parametrize("also", [False, True])
async def test_verify__a_manifest_that_goes_before_its_packs_are_read(
    office: Office, saver: Saver, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch,
    *, also: bool,
) -> None:  # fmt: skip
    """`also`: and so does a pack, of which another snapshot tells."""
    saved = await saver.save(await office.session(), FILES)
    other = await saver.save(saved.session_id, FILES, base=saved, order_in_epoch=2)
    verifier = Verifier(office, objects)
    made = await verifier.ask(ALL)
    verifying = verifier.another()
    read = verifying._read_window

    async def late(*arguments: Any) -> None:
        verifying._checks.forget()
        await objects.delete(saved.manifest_key)
        if also:
            await objects.delete(saved.keys[0])
        await read(*arguments)

    monkeypatch.setattr(verifying, "_read_window", late)
    await verifying.run_once()
    done = await verifier.asked.get(made)
    assert done.state == "done"
    assert await verifier.damaged(made) == ({saved.id, other.id} if also else {saved.id})
    of_manifest = [one for one in await verifier.findings(made) if not one.path]
    assert [(one.snapshot_id, one.object, one.found) for one in of_manifest] == [
        (saved.id, saved.manifest_key, "missing")
    ]
