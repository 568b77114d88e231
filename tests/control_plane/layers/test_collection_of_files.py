"""Content of projects' files that nobody names any more, and who names it in that very moment."""

import asyncio
from uuid import UUID

import pytest

from chassis.errors import NotFound
from chassis.failpoints import arm, disarm_all
from chassis.objects import ObjectStore
from control_plane.services.project_objects import ProjectObjects
from tests.control_plane.layers.shelf import Files
from tests.fixtures.control_plane import Caller, Plane


@pytest.fixture
def files(owner: Caller, project_id: UUID) -> Files:
    return Files(owner, project_id)


@pytest.fixture
def collector(plane: Plane, object_store: ObjectStore) -> ProjectObjects:
    """That waits for nothing."""
    database = plane.app.services.project_files._database
    return ProjectObjects(database, object_store, grace=0.0)


async def key_of(plane: Plane) -> str:
    key: str = await plane.connection.fetchval("SELECT key FROM project_objects")
    return key


async def test_collect__in_two_steps_what_no_file_names(
    plane: Plane, files: Files, collector: ProjectObjects, object_store: ObjectStore
) -> None:
    await files.put("a", b"kept")
    await files.put("b", b"gone")
    await files.delete("b")
    counts = [await collector.collect() for _ in range(3)]
    assert sum(counts) == 1
    assert await plane.connection.fetchval("SELECT count(*) FROM project_objects") == 1
    assert (await files.get("a")).content == b"kept"
    await files.delete("a")
    key = await key_of(plane)
    for _ in range(2):
        await collector.collect()
    with pytest.raises(NotFound):
        await object_store.head(key)


async def test_collect__what_is_put_again_while_it_is_deleted_stays(
    plane: Plane, files: Files, collector: ProjectObjects
) -> None:
    """Between the decision and the deletion: the new file gets an object of its own."""
    await files.put("a", b"same")
    await files.delete("a")
    await collector.collect()
    former = await key_of(plane)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        reached.set()
        await go_on.wait()

    arm("project_objects.doomed", hold)
    try:
        collecting = asyncio.create_task(collector.collect())
        async with asyncio.timeout(25):
            await reached.wait()
        assert (await files.put("b", b"same")).status_code == 201
        go_on.set()
        async with asyncio.timeout(25):
            await collecting
    finally:
        disarm_all()
    assert await key_of(plane) != former
    assert (await files.get("b")).content == b"same"


async def test_collect__what_is_being_uploaded_is_told_to_be_sent_again(
    plane: Plane, files: Files, collector: ProjectObjects
) -> None:
    """Without a grace: held, condemned, deleted, and only then named."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        reached.set()
        await go_on.wait()

    arm("project_objects.put", hold)
    try:
        putting = asyncio.create_task(files.put("a", b"1"))
        async with asyncio.timeout(25):
            await reached.wait()
        for _ in range(3):
            await collector.collect()
        go_on.set()
        answer = await putting
    finally:
        disarm_all()
    assert answer.status_code == 503
    assert await files.names() == []
    assert (await files.put("a", b"1")).status_code == 201


async def test_content__that_the_store_changed_is_never_passed_on_whole(
    plane: Plane, files: Files, object_store: ObjectStore
) -> None:
    await files.put("a", b"right")
    await object_store.put(await key_of(plane), b"wrong")
    answer = await files.get("a")
    assert answer.status_code == 500
    assert b"wrong" not in answer.content
