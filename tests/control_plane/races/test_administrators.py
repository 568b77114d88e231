"""What two administrators do at the same moment, forced to meet; and without the locks."""

import asyncio
from collections.abc import Coroutine
from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.errors import BerthError
from chassis.failpoints import arm, disarm_all
from contracts.errors import Code
from contracts.installation import PatchManager
from control_plane.services.installation import Installation
from control_plane.store import installation as store
from tests.fixtures.barriers import Crowd
from tests.fixtures.guards import perhaps_without, query_of
from tests.fixtures.office import Office

both_ways = pytest.mark.parametrize("guarded", [True, False])

ADMINISTRATORS = query_of(store, "lock_administrators", " FOR NO KEY UPDATE", "")
MANAGER = query_of(store, "manager", " FOR UPDATE", "")


async def administrator(office: Office) -> UUID:
    return await office.value(
        "INSERT INTO users (id, name, administrator) VALUES ($1, 'a', true) RETURNING id", uuid4()
    )


async def met(
    point: str, *works: Coroutine[Any, Any, object], guarded: bool
) -> list[object | BaseException]:
    arm(point, Crowd(len(works), all_come=not guarded).action)
    try:
        return await asyncio.gather(*works, return_exceptions=True)
    finally:
        disarm_all()


@both_ways
async def test_administrators__who_unmake_each_other_leave_one(
    office: Office, replica: Office, *, guarded: bool
) -> None:
    one, other = [await administrator(office) for _ in range(2)]
    with perhaps_without(ADMINISTRATORS, guarded=guarded):
        done = await met(
            "administrators.locked",
            Installation(office.database).unmake_administrator(other, by=one),
            Installation(replica.database).unmake_administrator(one, by=other),
            guarded=guarded,
        )
    left = await office.value("SELECT count(*) FROM users WHERE administrator")
    assert left == (1 if guarded else 0)
    refused = [error.code for error in done if isinstance(error, BerthError)]
    assert refused == ([Code.CONFLICT] if guarded else [])


@both_ways
async def test_manager__of_two_changes_to_what_was_read_one_is_stale(
    office: Office, replica: Office, *, guarded: bool
) -> None:
    host, by = await office.host(), await administrator(office)
    with perhaps_without(MANAGER, guarded=guarded):
        done = await met(
            "manager.locked",
            *(
                Installation(at.database).patch(host.id, PatchManager(warm=warm), version=1, by=by)
                for at, warm in ((office, 1), (replica, 2))
            ),
            guarded=guarded,
        )
    stale = [error.code for error in done if isinstance(error, BerthError)]
    assert stale == ([Code.VERSION_CONFLICT] if guarded else [])
    told = await office.value("SELECT count(*) FROM audit WHERE action = 'manager.patch'")
    assert told == (1 if guarded else 2)
