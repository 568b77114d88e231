"""`python -m gateway` as a process: its settings, its logs, its end."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from chassis.auth import generate_signing_key
from chassis.server import bind
from tests.fixtures.upstream import KEY, SERVICE_KEY, Upstream


@asynccontextmanager
async def started(environ: dict[str, str]) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        env={"PATH": os.defpath} | environ,
        cwd=Path(__file__).parents[2],
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def settings(tmp_path: Path, upstream_url: str, port: int) -> dict[str, str]:
    (tmp_path / "signing.pem").write_text(generate_signing_key()[0])
    (tmp_path / "service.key").write_text(SERVICE_KEY + "\n")
    return {
        "BERTH_PORT": str(port),
        "BERTH_CONTROL_PLANE_URL": upstream_url,
        "BERTH_SIGNING_KEY_FILE": str(tmp_path / "signing.pem"),
        "BERTH_SERVICE_KEY_FILE": str(tmp_path / "service.key"),
        "BERTH_GRACEFUL_SECONDS": "60",
        "BERTH_CORS_ORIGINS": "",
        "BERTH_TRACE_EXPORTER": f"file:{tmp_path / 'spans.jsonl'}",
    }


async def address_of(process: asyncio.subprocess.Process) -> str:
    """The one that the kernel gave it: nobody can have taken it in between."""
    line = msgspec.json.decode(await line_with(process, b'"serving"'))
    return f"http://{line['address']}"


async def line_with(process: asyncio.subprocess.Process, text: bytes) -> bytes:
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while True:
            line = await process.stderr.readline()
            assert line, f"it ended before it said {text!r}"
            if text in line:
                return line


async def test_process__serves_then_ends_streams_and_exits_well(
    session_upstream: tuple[Upstream, str], upstream: Upstream, tmp_path: Path
) -> None:
    headers = {"X-API-Key": KEY}
    async with (
        started(settings(tmp_path, session_upstream[1], 0)) as process,
        aiohttp.ClientSession(await address_of(process), headers=headers) as http,
    ):
        stream = await http.get("/api/v1/stream")
        upstream.feed.put_nowait(b"id: 1\n\n")
        assert await asyncio.wait_for(stream.content.readany(), 30) == b"id: 1\n\n"
        process.send_signal(signal.SIGTERM)
        rest = await asyncio.wait_for(stream.content.read(), 30)
        assert rest.startswith(b"event: bye\n")
        line = msgspec.json.decode(await line_with(process, b'"request"'))
        assert (line["service"], line["path"], line["status"]) == ("gateway", "/api/v1/stream", 200)
        assert line["trace"] == stream.headers["X-Trace-ID"]
        assert await asyncio.wait_for(process.wait(), 30) == 0
    spans = [
        msgspec.json.decode(one) for one in (tmp_path / "spans.jsonl").read_bytes().splitlines()
    ]
    assert "gateway" in {span["service"] for span in spans}
    assert line["trace"] in {span["trace_id"] for span in spans}


async def test_process__names_every_wrong_setting() -> None:
    async with started({"BERTH_PORT": "eighty"}) as process:
        assert process.stderr is not None
        told = (await process.stderr.read()).decode()
        assert await process.wait() == 1
    for name in ("BERTH_PORT", "BERTH_CONTROL_PLANE_URL", "BERTH_SIGNING_KEY", "BERTH_SERVICE_KEY"):
        assert name in told
    assert "Traceback" not in told


async def test_process__says_which_port_is_taken(tmp_path: Path) -> None:
    with bind() as taken:
        port = taken.getsockname()[1]
        async with started(settings(tmp_path, "http://127.0.0.1:1", port)) as process:
            line = await line_with(process, b"taken")
            assert await process.wait() == 1
    assert str(port).encode() in line
    assert b"BERTH_PORT" in line
