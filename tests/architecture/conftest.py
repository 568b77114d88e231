"""The services' apps, built and never started."""

from pathlib import Path
from uuid import UUID

import pytest
from aiohttp import web
from litestar import Litestar

import control_plane.app
import control_plane.settings
import executor.app
import executor.settings
from executor.http_routes import Router
from executor_manager.relay.admin import build_admin

NIL = UUID(int=0)


@pytest.fixture(scope="session")
def control_plane_app() -> Litestar:
    settings = control_plane.settings.Settings(
        database_url="postgresql://nobody@127.0.0.1:1/nothing",
        object_store_url="http://127.0.0.1:1",
        object_store_bucket="nothing",
        object_store_access_key="key",
        object_store_secret_key="secret",
        gateway_public_key="",
        gateway_service_key="gateway",
        manager_service_key="manager",
    )
    return control_plane.app.build_app(settings).litestar


@pytest.fixture(scope="session")
def executor_router(tmp_path_factory: pytest.TempPathFactory) -> Router:
    folder: Path = tmp_path_factory.mktemp("executor")
    settings = executor.settings.Settings(
        worker_id=NIL,
        session_id=NIL,
        project_id=NIL,
        epoch=1,
        workspace_dir=folder,
        spool_dir=folder,
        control_dir=folder,
        home_dir=folder,
    )
    return executor.app.App(settings).router


@pytest.fixture(scope="session")
def relay_admin() -> web.Application:
    """Its handlers are never called: they need neither upstreams nor workers."""
    return build_admin(boot="", upstreams=None, workers=None)  # type: ignore[arg-type] # see above
