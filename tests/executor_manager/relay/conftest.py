"""A relay with a credential, and an upstream that wants it."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from tests.executor_manager.relay.witness import Witness, keep_secret
from tests.executor_manager.relays import Relay

Passing = Callable[[float], None]
"""So many seconds pass at once for whatever waits in this process."""

PATIENT = "60"
"""Seconds: longer than any test waits for an answer."""


@pytest.fixture
async def passing() -> AsyncGenerator[Passing]:
    """To be asked for before what lives by it: that ends before time is as it was."""
    loop = asyncio.get_running_loop()
    real, passed = loop.time, 0.0

    def pass_by(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", lambda: real() + passed)
        yield pass_by


@pytest.fixture
async def witness() -> AsyncGenerator[Witness]:
    async with Witness() as witness:
        yield witness


@pytest.fixture
async def relay(short_dir: Path) -> AsyncGenerator[Relay]:
    async with Relay(short_dir / "relay", RELAY_WAIT_SECONDS=PATIENT) as relay:
        yield relay


@pytest.fixture
async def agents_relay(short_dir: Path, request: pytest.FixtureRequest) -> AsyncGenerator[Relay]:
    """Patient: what is to strike has its deadline by an indirect parameter, in `hasty`."""
    bounds = {
        "RELAY_SOCKETS_DIR": str(short_dir),
        "RELAY_CREDENTIALS_DIR": str(short_dir / "credentials"),
        "RELAY_WAIT_SECONDS": PATIENT,
        "RELAY_BODY_BYTES": "1048576",
        "RELAY_CONTROL_CONNECTIONS": "8",
        "RELAY_AGENT_CONNECTIONS": "16",
        "RELAY_AGENT_REQUESTS": "4",
    }
    relay = Relay(short_dir / "relay", **{**bounds, **getattr(request, "param", {})})
    keep_secret(relay)
    async with relay:
        yield relay
