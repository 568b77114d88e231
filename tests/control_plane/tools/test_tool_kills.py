"""A control plane that dies in the middle of a call: it is called again, and nothing is twice."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from chassis.auth import generate_signing_key
from cli.embedded.ports import Ports
from control_plane.settings import Settings
from tests.control_plane.tools.conftest import TOKEN, Agent
from tests.fixtures.control_plane import plane_settings
from tests.fixtures.deadlines import eventually
from tests.fixtures.object_store import StoreServer


@asynccontextmanager
async def process(
    settings: Settings, port: int, **more: str
) -> AsyncGenerator[tuple[str, asyncio.subprocess.Process]]:
    needed = [field.name for field in msgspec.structs.fields(Settings) if field.required]
    environ = {f"BERTH_{name.upper()}": getattr(settings, name) for name in needed}
    environ |= {"BERTH_HOST": "127.0.0.1", "BERTH_PORT": str(port), "BERTH_LOOPS": "false", **more}
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "control_plane", env=environ
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http:

            async def ready() -> bool:
                return (await http.get(f"{url}/readyz")).status_code == 200

            await eventually(ready, "the control plane did not become ready", within=90)
        yield url, started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


@pytest.mark.parametrize("place", ["tool.saved", "tool.committed"])
async def test_call__is_made_again_after_a_kill(
    agent: Agent,
    database_url: str,
    object_store_server: StoreServer,
    tmp_path: Path,
    place: str,
) -> None:
    settings = plane_settings(database_url, object_store_server, generate_signing_key()[1])
    body: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "request_input", "arguments": {"question": "Which?"}},
    }
    headers = {"Authorization": f"Bearer {TOKEN}"}
    port = Ports(tmp_path / "ports").pick("control-plane")
    async with process(settings, port, BERTH_FAILPOINTS=f"{place}=kill9") as (url, started):
        async with httpx.AsyncClient(
            base_url=url, headers=headers, trust_env=False, timeout=60
        ) as http:
            with pytest.raises((httpx.NetworkError, httpx.RemoteProtocolError)):
                await http.post(agent.path, json=body)
        async with asyncio.timeout(30):
            assert await started.wait() == -9
    kept = await agent.plane.connection.fetchval("SELECT count(*) FROM tool_calls")
    assert kept == (1 if place == "tool.committed" else 0)
    said = (await agent.post(body)).json()["result"]
    assert said["isError"] is False
    assert "Asked." in said["content"][0]["text"]
    counts = await agent.plane.connection.fetchrow(
        "SELECT (SELECT count(*) FROM tool_calls), (SELECT count(*) FROM audit),"
        " (SELECT count(*) FROM human_loop_requests)"
    )
    assert tuple(counts or ()) == (1, 1, 1)
    kinds = await agent.plane.connection.fetch(
        "SELECT kind FROM events WHERE stream_id = $1 ORDER BY seq", agent.session_id
    )
    told = [row["kind"] for row in kinds if row["kind"].startswith(("tool.", "human_loop."))]
    assert told == ["tool.accepted", "human_loop.requested"]
