"""What the relay costs, for `bench.sync`: ours by a real relay, as executors go.

The relay is a process of its own, as managers start it. A control plane's part here is small: it
signs, in this process.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import msgspec
from aiohttp import web

from bench.sync_ours import Ours
from bench.sync_peers import BUCKET, Store
from contracts.relay import RELAY_ROUTES, RelayRoutes
from contracts.snapshots import AskDownloads, AskUploads, Downloads, Signed, Uploads
from tests.executor_manager.relays import Relay
from tests.fixtures.signing import Signer


def by_relay(store: Store, place: Path, act: Callable[[Ours], None]) -> None:
    """`act` gets ours, going by a relay. `place` is short: sockets' paths are."""
    place.mkdir()
    asyncio.run(_by_relay(store, place, act))


async def _by_relay(store: Store, place: Path, act: Callable[[Ours], None]) -> None:
    async with _signing(store) as url, Relay(place / "r") as relay:
        routes = RelayRoutes(control_plane_url=url, object_store_url=store.url)
        await relay.admin.call(RELAY_ROUTES, routes)
        bound = await relay.bind()
        way = (str(bound.path.parent), str(bound.worker_id))
        # its own process is waited for in a thread: the signing goes on here
        await asyncio.to_thread(act, Ours(store, place / "ours", way))


@asynccontextmanager
async def _signing(store: Store) -> AsyncGenerator[str]:
    signer = Signer(store.url, BUCKET, store.access_key, store.secret_key)

    async def uploads(request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=AskUploads)
        signed: list[Signed] = []
        for one in asked.objects:
            key = f"relayed/{one.purpose}/{uuid4().hex}"
            made = signer.presign_put(key, length=one.length, md5_base64=one.md5)
            signed.append(Signed(key=key, url=made.url, headers=made.headers))
        return _told(Uploads(objects=signed))

    async def downloads(request: web.Request) -> web.Response:
        asked = msgspec.json.decode(await request.read(), type=AskDownloads)
        made = [Signed(key=key, url=signer.presign_get(key).url) for key in asked.keys]
        return _told(Downloads(objects=made))

    app = web.Application()
    app.router.add_post("/internal/v1/workers/{worker_id}/uploads", uploads)
    app.router.add_post("/internal/v1/workers/{worker_id}/downloads", downloads)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _told(answer: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json")
