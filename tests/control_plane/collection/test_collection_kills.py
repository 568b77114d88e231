"""A control plane that is killed in the middle of collecting, and one that carries on."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from chassis.auth import generate_signing_key
from chassis.errors import NotFound
from chassis.objects import ObjectStore
from cli.embedded.ports import Ports
from control_plane.settings import Settings
from tests.fixtures.control_plane import plane_settings
from tests.fixtures.deadlines import eventually
from tests.fixtures.object_store import StoreServer
from tests.fixtures.office import Office
from tests.fixtures.saved import Saver

FILES = {b"f%d" % n: b"content %d" % n for n in range(7)}
AT_ONCE = {
    "BERTH_CONDEMN_PACKS_AFTER_SECONDS": "0.000001",
    "BERTH_DELETE_PACKS_AFTER_SECONDS": "0.000001",
}


@asynccontextmanager
async def collecting(
    settings: Settings, port: int, **more: str
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """It begins a pass as soon as it is up."""
    needed = [field.name for field in msgspec.structs.fields(Settings) if field.required]
    environ = {f"BERTH_{name.upper()}": getattr(settings, name) for name in needed}
    environ |= {"BERTH_HOST": "127.0.0.1", "BERTH_PORT": str(port), **AT_ONCE, **more}
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "control_plane", env=environ
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


@pytest.fixture
def settings(database_url: str, object_store_server: StoreServer) -> Settings:
    return plane_settings(database_url, object_store_server, generate_signing_key()[1])


@pytest.mark.parametrize(
    "place", ["collection.condemned", "collection.given_up", "collection.objects_deleted"]
)
async def test_kill__in_a_pass_is_carried_on_by_another(
    office: Office,
    saver: Saver,
    objects: ObjectStore,
    settings: Settings,
    *,
    tmp_path: Path,
    place: str,
) -> None:
    session = await office.session()
    saved = await saver.save(session, FILES)
    left = await saver.upload(session, b"nobody's")
    port = Ports(tmp_path / "ports").pick("control-plane")
    async with collecting(settings, port, BERTH_FAILPOINTS=f"{place}=kill9") as started:
        async with asyncio.timeout(60):
            assert await started.wait() == -9
    gone = "SELECT deleted_at FROM packs WHERE key = $1"
    assert await office.value(gone, left) is None
    await office.execute("UPDATE collections SET held_until = now()")

    async def deleted() -> bool:
        return await office.value(gone, left) is not None

    async with collecting(settings, port):
        await eventually(deleted, "nobody carried on", within=60)
    with pytest.raises(NotFound):
        await objects.head(left)
    for key in (*saved.keys, saved.manifest_key):
        await objects.head(key)
