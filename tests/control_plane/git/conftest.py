"""A control plane that reaches a real git host and a spoilt one, and a worker with a policy."""

import base64
import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chassis.auth import generate_signing_key
from control_plane.app import build_app
from tests.control_plane.git.berths import Berth
from tests.control_plane.git.repositories import HOST, GitHost, running_host
from tests.control_plane.git.spoilt import SpoiltHost
from tests.control_plane.git.working import SPOILT, Worker, make_worker
from tests.executor_manager.relays import Relay
from tests.fixtures.control_plane import Caller, Plane, RunningPlane, plane_settings
from tests.fixtures.object_store import StoreServer
from tests.fixtures.serving import serving


@pytest.fixture(scope="module")
def git_host(tmp_path_factory: pytest.TempPathFactory) -> Generator[GitHost]:
    with running_host(tmp_path_factory.mktemp("git")) as running:
        yield running


@pytest.fixture(scope="module")
async def spoilt_server() -> AsyncGenerator[SpoiltHost]:
    async with SpoiltHost().running() as running:
        yield running


@pytest.fixture
def spoilt(spoilt_server: SpoiltHost) -> SpoiltHost:
    spoilt_server.reset()
    return spoilt_server


@pytest.fixture(scope="module")
def changes() -> dict[str, Any]:
    """Of the control plane's settings; a module may have its own."""
    return {}


@pytest.fixture(scope="module")
async def running_plane(
    database_url: str,
    object_store_server: StoreServer,
    git_host: GitHost,
    spoilt_server: SpoiltHost,
    changes: dict[str, Any],
) -> AsyncGenerator[RunningPlane]:
    private, public = generate_signing_key()
    settings = plane_settings(
        database_url,
        object_store_server,
        public,
        git_hosts=[f"{HOST}={git_host.origin}", f"{SPOILT}={spoilt_server.origin}"],
        secret_key=base64.b64encode(secrets.token_bytes(32)).decode(),
        git_request_mib=64,
        git_answer_mib=128,
        **changes,
    )
    app = build_app(settings)
    async with serving(app, on_stop=app.stop) as url:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as anyone:
            (await anyone.get("/healthz")).raise_for_status()  # answered when all of it is up
        yield RunningPlane(url, app, private)


@pytest.fixture
async def worker(plane: Plane, owner: Caller, git_host: GitHost) -> AsyncGenerator[Worker]:
    """Nothing is granted to it yet."""
    git_host.forget()
    made = await make_worker(plane, owner)
    yield made
    await made.http.aclose()


@pytest.fixture
def short_dir() -> Generator[Path]:
    """A socket's path ends at 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="b"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def berth(short_dir: Path, worker: Worker) -> AsyncGenerator[Berth]:
    async with Relay(short_dir / "relay", RELAY_SOCKETS_DIR=str(short_dir)) as relay:
        made = Berth(relay, worker, short_dir)
        yield made
        await made.close()
