"""Fixtures of the streams' tests."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from chassis.failpoints import disarm_all
from tests.control_plane.streams.replicas import MakeReplica, Replica
from tests.fixtures.office import Office


@pytest.fixture
async def make_replica(office: Office) -> AsyncGenerator[MakeReplica]:
    """The office writes; what it commits is told to the replicas."""
    office.wakeups.start()
    async with contextlib.AsyncExitStack() as stack:

        async def make(**changes: Any) -> Replica:
            replica = Replica(office.settings.database_url, **changes)
            await replica.open()
            stack.push_async_callback(replica.close)
            return replica

        yield make
        disarm_all()


@pytest.fixture
async def here(make_replica: MakeReplica) -> Replica:
    return await make_replica()
