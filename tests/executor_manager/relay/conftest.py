"""A relay with a credential, and an upstream that wants it."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.executor_manager.relay.witness import Witness, keep_secret
from tests.executor_manager.relays import Relay


@pytest.fixture
async def witness() -> AsyncGenerator[Witness]:
    async with Witness() as witness:
        yield witness


@pytest.fixture
async def agents_relay(short_dir: Path) -> AsyncGenerator[Relay]:
    relay = Relay(
        short_dir / "relay",
        RELAY_SOCKETS_DIR=str(short_dir),
        RELAY_CREDENTIALS_DIR=str(short_dir / "credentials"),
        RELAY_WAIT_SECONDS="3",
        RELAY_FIRST_BYTE_SECONDS="2",
        RELAY_STREAM_SILENCE_SECONDS="1",
        RELAY_HEAD_SECONDS="1",
        RELAY_BODY_BYTES="1048576",
        RELAY_CONTROL_CONNECTIONS="8",
        RELAY_AGENT_CONNECTIONS="16",
        RELAY_AGENT_REQUESTS="4",
    )
    keep_secret(relay)
    async with relay:
        yield relay
