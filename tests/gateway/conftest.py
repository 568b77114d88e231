"""The gateway on a real port, before a small control plane on another."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from chassis.auth import generate_signing_key
from gateway.app import build_app
from gateway.settings import Settings
from tests.fixtures.clock import ManualClock
from tests.fixtures.gateway import Front
from tests.fixtures.serving import serving
from tests.fixtures.upstream import KEY, SERVICE_KEY, Upstream

PRIVATE, PUBLIC = generate_signing_key()


@pytest.fixture
def public_key() -> str:
    return PUBLIC


@pytest.fixture(scope="session")
def session_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def clock(session_clock: ManualClock) -> ManualClock:
    """Far from the former test: what that one's gateway remembered has run out."""
    session_clock.now += 1000
    return session_clock


@pytest.fixture(scope="session")
async def session_upstream() -> AsyncGenerator[tuple[Upstream, str]]:
    upstream = Upstream()
    async with serving(upstream, graceful_seconds=0) as url:
        yield upstream, url


@pytest.fixture
def upstream(session_upstream: tuple[Upstream, str]) -> Upstream:
    session_upstream[0].reset()
    return session_upstream[0]


@pytest.fixture(scope="session")
def front(session_upstream: tuple[Upstream, str], session_clock: ManualClock) -> Front:
    """Makes a gateway with these settings; gives a client that sends the good key."""

    @asynccontextmanager
    async def make(
        stop: asyncio.Event | None = None, **changes: Any
    ) -> AsyncGenerator[aiohttp.ClientSession]:
        values: dict[str, Any] = {
            "control_plane_url": session_upstream[1],
            "signing_key": PRIVATE,
            "service_key": SERVICE_KEY,
        }
        app = build_app(Settings(**values | changes), session_clock)
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            serving(app, stop=stop, on_stop=app.stop) as url,
            aiohttp.ClientSession(url, headers=headers) as session,
        ):
            yield session

    return make


@pytest.fixture(scope="session")
async def session_http(front: Front) -> AsyncGenerator[aiohttp.ClientSession]:
    async with front() as session:
        yield session


@pytest.fixture
async def http(
    session_http: aiohttp.ClientSession, upstream: Upstream, clock: ManualClock
) -> aiohttp.ClientSession:
    return session_http
