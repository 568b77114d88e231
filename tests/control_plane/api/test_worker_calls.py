"""How often a session's worker may call: by what it presents, before anything else is looked at."""

from uuid import UUID

import httpx
import pytest

from chassis.rates import RateLimiter
from tests.factories import insert_worker, make_session
from tests.fixtures.clock import ManualClock
from tests.fixtures.control_plane import Caller, Plane

A_MINUTE = 60


@pytest.fixture
def few(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is given back while the test goes on."""
    access = plane.app.services.access
    monkeypatch.setattr(access, "_worker_calls_per_minute", A_MINUTE)
    monkeypatch.setattr(access, "_worker_calls", RateLimiter(ManualClock()))


async def call(plane: Plane, worker: UUID, token: str) -> httpx.Response:
    return await plane.http.post(
        f"/internal/v1/workers/{worker}/callbacks",
        json={"epoch": 1, "entries": []},
        headers={"Authorization": f"Bearer {token}"},
    )


@pytest.mark.usefixtures("few")
async def test_flood__is_refused_with_when_to_come_back(plane: Plane, member: Caller) -> None:
    worker = await insert_worker(plane.connection, await make_session(member.http), token="bwt-a")
    answers = [await call(plane, worker, "bwt-a") for _ in range(A_MINUTE + 5)]
    assert [one.status_code for one in answers[:A_MINUTE]] == [200] * A_MINUTE
    refused = answers[-1]
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) >= 1
    assert "bwt-a" not in refused.text


@pytest.mark.usefixtures("few")
async def test_flood__uses_up_nobody_elses_calls(plane: Plane, member: Caller) -> None:
    """Neither by its own token in another's name, nor by any other."""
    mine = await insert_worker(plane.connection, await make_session(member.http), token="bwt-a")
    theirs = await insert_worker(plane.connection, await make_session(member.http), token="bwt-b")
    for number in range(2 * A_MINUTE):
        await call(plane, theirs, "bwt-a")
        await call(plane, theirs, f"guess {number}")
    assert (await call(plane, mine, "bwt-a")).status_code == 429
    assert (await call(plane, theirs, "bwt-b")).status_code == 200
