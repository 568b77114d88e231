"""An office with an object store of its own content, and collectors that wait for nothing."""

from collections.abc import AsyncGenerator, Callable

import pytest

from chassis.objects import ObjectStore
from control_plane.domain.packs import Retention
from control_plane.services.collection import PREFIX, Collection
from tests.fixtures.office import Office
from tests.fixtures.saved import Saver

NOW = Retention(checkpoints=0, sides=0, condemn=0, delete=0)

Collector = Callable[..., Collection]


@pytest.fixture
async def objects(object_store: ObjectStore) -> AsyncGenerator[ObjectStore]:
    """Empty at first: what other tests left there is not collected here."""
    await _empty(object_store)
    yield object_store
    await _empty(object_store)


async def _empty(objects: ObjectStore) -> None:
    while found := await objects.list(PREFIX):
        assert await objects.delete_many([one.key for one in found]) == []


@pytest.fixture
def saver(office: Office, objects: ObjectStore) -> Saver:
    return Saver(office.database, objects)


@pytest.fixture
def collector(office: Office, objects: ObjectStore) -> Collector:
    """A new one, as after a restart."""

    def make(retention: Retention = NOW, *, at: Office | None = None) -> Collection:
        return Collection((at or office).database, objects, retention, pause=0.0)

    return make
