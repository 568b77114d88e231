"""What keeps the control plane from starting, and what it says then."""

import asyncio
import sys
from collections.abc import AsyncGenerator

import httpx
import msgspec
import pytest

from chassis import health
from chassis.auth import generate_signing_key
from chassis.errors import DependencyUnavailable
from chassis.store.check import UnfitStore
from control_plane.app import build_app
from control_plane.preflight import preflight
from control_plane.settings import Settings
from tests.fixtures.bad_store import bad_store
from tests.fixtures.control_plane import plane_settings
from tests.fixtures.object_store import StoreServer
from tests.fixtures.serving import serving


@pytest.fixture
def settings(database_url: str, object_store_server: StoreServer) -> Settings:
    return plane_settings(database_url, object_store_server, generate_signing_key()[1])


@pytest.fixture
async def unfit(settings: Settings) -> AsyncGenerator[Settings]:
    """With a store that accepts anything."""
    async with bad_store() as url:
        yield msgspec.structs.replace(settings, object_store_url=url)


async def started(environ: dict[str, str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "control_plane", env=environ, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    return process.returncode or 0, errors.decode()


def environ_of(settings: Settings) -> dict[str, str]:
    needed = [field.name for field in msgspec.structs.fields(Settings) if field.required]
    return {f"BERTH_{name.upper()}": getattr(settings, name) for name in needed}


async def test_preflight__passes(settings: Settings) -> None:
    assert await preflight(settings)


async def test_preflight__refuses_a_database_without_the_schema(
    settings: Settings, empty_database_url: str
) -> None:
    with pytest.raises(DependencyUnavailable) as caught:
        await preflight(msgspec.structs.replace(settings, database_url=empty_database_url))
    (missing,) = caught.value.details["missing"]
    assert "python -m control_plane.migrate" in missing["how"]


async def test_preflight__refuses_a_store_that_accepts_wrong_bodies(unfit: Settings) -> None:
    with pytest.raises(UnfitStore) as caught:
        await preflight(unfit)
    (missing,) = caught.value.details["missing"]
    assert "wrong_md5" in missing["how"]


async def test_preflight__a_store_that_is_away_keeps_nobody_from_starting(
    settings: Settings,
) -> None:
    away = msgspec.structs.replace(settings, object_store_url="http://127.0.0.1:1")
    assert not await preflight(away)


async def test_readiness__tries_a_store_that_was_away_at_the_start(
    settings: Settings, unfit: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 25.0)  # a busy store answers too
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        async with serving(build_app(settings)) as url:
            assert (await http.get(f"{url}/readyz")).status_code == 200
        async with serving(build_app(unfit)) as url:
            answer = await http.get(f"{url}/readyz")
    assert answer.status_code == 503
    (missing,) = answer.json()["details"]["missing"]
    assert missing["what"] == "object_store"
    assert "wrong_length" in missing["how"]


async def test_start__says_which_settings_are_wrong(settings: Settings) -> None:
    code, errors = await started({})
    assert code == 1
    assert "BERTH_DATABASE_URL is not set" in errors
    assert "Traceback" not in errors
    code, errors = await started({**environ_of(settings), "BERTH_OBJECT_STORE_URL": "x"})
    assert code == 1
    assert "BERTH_OBJECT_STORE_URL should be http(s)://" in errors
    assert "Traceback" not in errors


async def test_start__says_what_is_wrong_with_the_database(
    settings: Settings, empty_database_url: str
) -> None:
    environ = environ_of(settings)
    code, errors = await started({**environ, "BERTH_DATABASE_URL": empty_database_url})
    assert code == 1
    assert "migrate it with" in errors
    away = "postgresql://berth@127.0.0.1:1/berth"
    code, errors = await started({**environ, "BERTH_DATABASE_URL": away})
    assert code == 1
    assert "start Postgres" in errors
    assert "Traceback" not in errors


async def test_start__refuses_a_store_that_accepts_wrong_bodies(unfit: Settings) -> None:
    code, errors = await started(environ_of(unfit))
    assert code == 1
    assert "wrong_md5: it accepts a body of another MD5 than was signed" in errors
    assert "Traceback" not in errors
