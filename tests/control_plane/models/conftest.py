"""A control plane whose projects reach a scripted model, and a worker with a live run."""

import base64
import secrets
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

from chassis.auth import generate_signing_key
from control_plane.app import build_app
from control_plane.services import model_calls
from tests.control_plane.models.caller import Worker, make_worker
from tests.control_plane.models.spoilt import SpoiltProvider
from tests.fixtures.control_plane import Caller, Plane, RunningPlane, plane_settings
from tests.fixtures.object_store import StoreServer
from tests.fixtures.scripted_model import ScriptedModel, running_model
from tests.fixtures.serving import serving

KEY = "sk-test-3f1c9a7e5b"
SECRET_KEY = base64.b64encode(secrets.token_bytes(32)).decode()
NOBODY = "http://127.0.0.1:9"
"""The discard port: nothing listens."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Generator[ScriptedModel]:
    """It takes `KEY` alone."""
    place = tmp_path_factory.mktemp("model")
    keys = place / "keys"
    keys.write_text(KEY)
    with running_model(place, "--key-file", str(keys)) as running:
        yield running


@pytest.fixture(scope="module")
async def spoilt_server() -> AsyncGenerator[SpoiltProvider]:
    async with SpoiltProvider().running() as provider:
        yield provider


@pytest.fixture
def spoilt(spoilt_server: SpoiltProvider) -> SpoiltProvider:
    spoilt_server.seen.clear()
    spoilt_server.go.clear()
    return spoilt_server


@pytest.fixture(scope="module")
def changes() -> dict[str, Any]:
    """Of the control plane's settings; a module may have its own."""
    return {}


@pytest.fixture(scope="module")
async def running_plane(
    database_url: str,
    object_store_server: StoreServer,
    model: ScriptedModel,
    spoilt_server: SpoiltProvider,
    changes: dict[str, Any],
) -> AsyncGenerator[RunningPlane]:
    private, public = generate_signing_key()
    settings = plane_settings(
        database_url,
        object_store_server,
        public,
        **{
            "model_hosts": [model.url, spoilt_server.url, NOBODY],
            "secret_key": SECRET_KEY,
            **changes,
        },
    )
    app = build_app(settings)
    async with serving(app, on_stop=app.stop) as url:
        yield RunningPlane(url, app, private)


@pytest.fixture(autouse=True)
def bookings_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before an answer's end, and before a stop, however slow the database is."""
    monkeypatch.setattr(model_calls, "PATIENCE", 60.0)
    monkeypatch.setattr(model_calls, "STOP_SECONDS", 60.0)


@pytest.fixture
async def worker(plane: Plane, owner: Caller, model: ScriptedModel) -> AsyncGenerator[Worker]:
    """Its project has the upstream `scripted` for everything."""
    made = await make_worker(plane, owner)
    await made.upstream(url=model.url, key=KEY)
    yield made
    await made.http.aclose()
