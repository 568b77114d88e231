"""What a backend that keeps some warm must do; a subclass gives `backend` and `second`."""

import asyncio
from uuid import UUID

import msgspec
import pytest

from chassis.ids import new_id
from contracts.executors import ASSIGNED_FILE
from executor_manager.containers.backend import (
    Container,
    ContainerBackend,
    ContainerSpec,
    ContainerState,
    Identity,
)
from executor_manager.containers.errors import Missing, NameTaken, StartFailed
from tests.executor_manager.containers.contract import spec, started


def spec_of(identity: Identity) -> ContainerSpec:
    return ContainerSpec(identity=identity)


class WarmContract:
    async def test_bound__a_warm_one_becomes_a_session_s_once(
        self, backend: ContainerBackend, second: ContainerBackend
    ) -> None:
        warm, wanted = spec_of(Identity.warm(new_id())), spec()
        container = await started(backend, warm)
        with pytest.raises(StartFailed):  # it is not paused
            await backend.bind(container.name, wanted.identity)
        await backend.pause(container.name)
        listing = await backend.list()
        assert (listing.containers, listing.strangers) == ([], [])
        assert [(one.name, one.image) for one in listing.warm] == [
            (container.name, await backend.image())
        ]
        bound = await backend.bind(container.name, wanted.identity)
        assert (bound.identity, bound.state) == (wanted.identity, ContainerState.PAUSED)
        with pytest.raises(Missing):
            await backend.bind(container.name, spec().identity)
        await second.open()
        for one in (backend, second):
            assert await one.get(container.name) is None
            listing = await one.list()
            assert [found.identity for found in listing.containers] == [wanted.identity]
            assert (listing.warm, listing.strangers) == ([], [])
        found = await second.adopt_or_create(wanted)
        assert (found.identity, found.state) == (wanted.identity, ContainerState.PAUSED)
        assert (await second.resume(bound.name)).state is ContainerState.RUNNING
        assert bound.directories == container.directories
        assigned = msgspec.json.decode((bound.directories.control / ASSIGNED_FILE).read_bytes())
        assert UUID(assigned["session_id"]) == wanted.identity.session_id
        await second.stop(bound.name, 5)
        await second.remove(bound.name)
        assert not container.directories.workspace.exists()
        assert (await second.list()).warm == []

    async def test_bound__by_two_at_once_it_is_one_s(self, backend: ContainerBackend) -> None:
        container = await started(backend, spec_of(Identity.warm(new_id())))
        await backend.pause(container.name)
        asked = [spec().identity for _ in range(4)]
        answers = await asyncio.gather(
            *(backend.bind(container.name, one) for one in asked), return_exceptions=True
        )
        won = [one for one in answers if isinstance(one, Container)]
        assert len(won) == 1
        assert [one.identity for one in (await backend.list()).containers] == [won[0].identity]

    async def test_bound__not_to_a_session_that_has_one_here(
        self, backend: ContainerBackend
    ) -> None:
        wanted = spec()
        present = await backend.adopt_or_create(wanted)
        container = await started(backend, spec_of(Identity.warm(new_id())))
        await backend.pause(container.name)
        with pytest.raises(NameTaken):
            await backend.bind(container.name, wanted.identity)
        assert await backend.get(present.name) == present
        assert [one.name for one in (await backend.list()).warm] == [container.name]
