"""A workspace's files through gateway, manager and executor, each on its own socket; only the
control plane, who decides, is made up.
"""

import asyncio
import io
import tarfile
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from chassis.app import build_litestar
from chassis.clock import SystemClock
from chassis.ids import new_id
from chassis.listening import bind
from chassis.metrics import Metrics
from contracts.executors import ExecutorPhase
from contracts.tickets import Redeemed, Ticket
from executor.http_routes import Router
from executor.http_server import Server
from executor.routes.files import FileRoutes
from executor.status import Status
from executor_manager.routes.workspace import workspace_route
from executor_manager.services.workers import Stage
from executor_manager.services.workspaces import Workspaces
from tests.executor.changing import files_at
from tests.fixtures.deadlines import eventually
from tests.fixtures.serving import serving
from tests.fixtures.upstream import Upstream

WORKER, SESSION = new_id(), new_id()
PLACE = f"/api/v1/session-workers/{SESSION}/workspace"
MIB = 1024 * 1024


class Deciding:
    """What of a control plane a manager asks."""

    def __init__(self, upstream: Upstream) -> None:
        self.withheld: list[str] = []
        self._upstream = upstream

    async def redeem(self, _: str) -> Redeemed:
        asked = self._upstream.seen[-1].body
        audience = "workspace.write" if b"workspace.write" in asked else "workspace.read"
        return Redeemed(worker_id=WORKER, epoch=1, audience=audience, withheld=self.withheld)


def names(top: Path) -> list[str]:
    return sorted(one.name for one in top.iterdir())


@pytest.fixture
def top(tmp_path: Path) -> Path:
    made = tmp_path / "w"
    made.mkdir()
    return made


@pytest.fixture
def deciding(upstream: Upstream) -> Deciding:
    return Deciding(upstream)


@pytest.fixture
async def chain(
    top: Path, tmp_path: Path, upstream: Upstream, deciding: Deciding
) -> AsyncGenerator[Path]:
    """All of it behind the gateway; gives the workspace."""
    status = Status(SystemClock())
    status.enter(ExecutorPhase.READY)
    files = files_at(top, status)
    router = Router(FileRoutes(lambda: files).routes())
    executor = Server(router, router.streams)
    socket = tmp_path / "x.sock"
    await executor.open(bind(uds=str(socket)))
    worker = SimpleNamespace(stage=Stage.LIVE, epoch=1)
    workspaces = Workspaces(
        control_plane=cast("Any", deciding),
        workers=cast("Any", {WORKER: worker}),
        executors=cast("Any", SimpleNamespace(socket=lambda _: socket)),
    )
    manager = build_litestar(
        service="executor_manager",
        route_handlers=[workspace_route(workspaces)],
        metrics=Metrics(),
    )
    async with serving(manager, graceful_seconds=0) as url:
        upstream.ticket = Ticket(
            ticket="btk_one", worker_id=WORKER, manager_url=url, expires_in_seconds=60
        )
        yield top
    await executor.end(0)


async def test_content__of_any_size_there_and_back(
    http: aiohttp.ClientSession, chain: Path
) -> None:
    async def sent() -> AsyncIterator[bytes]:
        for number in range(40):
            yield bytes([number]) * MIB

    async with http.put(f"{PLACE}/file?path=a/big", data=sent()) as answer:
        made = await answer.json()
        assert (answer.status, made["entry"]["size"]) == (201, 40 * MIB)
        etag = answer.headers["ETag"]
    async with http.get(f"{PLACE}/file?path=a/big") as answer:
        content = await answer.read()
        assert (answer.status, answer.headers["ETag"]) == (200, etag)
    assert content == b"".join([piece async for piece in sent()])
    async with http.get(f"{PLACE}/file?path=a/big", headers={"If-None-Match": etag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    part = {"Range": f"bytes={MIB - 1}-{MIB}"}
    async with http.get(f"{PLACE}/file?path=a/big", headers=part) as answer:
        assert (answer.status, await answer.read()) == (206, b"\0\1")
        assert answer.headers["Content-Range"] == f"bytes {MIB - 1}-{MIB}/{40 * MIB}"
    beyond = {"Range": f"bytes={40 * MIB}-"}
    async with http.get(f"{PLACE}/file?path=a/big", headers=beyond) as answer:
        assert answer.status == 416
    stale = {"If-Match": '"other"'}
    async with http.put(f"{PLACE}/file?path=a/big", data=sent(), headers=stale) as answer:
        told = await answer.json(content_type=None)
    assert (answer.status, told["details"]["etag"]) == (409, etag)


async def test_tree__in_and_out(http: aiohttp.ClientSession, chain: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for number in range(300):
            info = tarfile.TarInfo(f"./src/{number:03}.txt")
            info.size = 9000
            archive.addfile(info, io.BytesIO(b"%09d" % number * 1000))
    tar = {"Content-Type": "application/x-tar"}
    async with http.post(f"{PLACE}/upload?path=in", data=packed.getvalue(), headers=tar) as answer:
        assert (answer.status, (await answer.json())["files"]) == (200, 300)
    async with http.get(f"{PLACE}/download?path=in") as answer:
        assert answer.headers["Content-Type"] == "application/zip"
        assert 'filename="in.zip"' in answer.headers["Content-Disposition"]
        opened = zipfile.ZipFile(io.BytesIO(await answer.read()))
    assert opened.testzip() is None
    assert opened.read("src/299.txt") == b"%09d" % 299 * 1000
    async with http.get(f"{PLACE}/search?text=000000123&limit=5") as answer:
        items = (await answer.json())["items"]
        assert answer.headers["Berth-Workspace"] == "live"
    assert [one["entry"]["path"] for one in items] == ["in/src/123.txt"]
    async with http.get(f"{PLACE}/tree?path=in&depth=2&limit=200") as answer:
        page = await answer.json()
    assert (len(page["items"]), page["next_cursor"] is None) == (200, False)
    async with http.delete(f"{PLACE}/file?path=in&recursive=1") as answer:
        assert answer.status == 200
    assert names(chain) == []


async def test_names__that_are_no_utf8_all_the_way(
    http: aiohttp.ClientSession, chain: Path
) -> None:
    body = {"path": "%FF%25", "escaped": True}
    async with http.post(f"{PLACE}/mkdir", json=body) as answer:
        assert (await answer.json())["path"] == "%FF%25"
    moved = {"from": "%FF%25", "to": "plain", "escaped": True}
    async with http.post(f"{PLACE}/rename", json=moved) as answer:
        assert (await answer.json())["escaped"] is False
    assert (chain / "plain").is_dir()


async def test_withheld__is_what_the_ticket_says(
    http: aiohttp.ClientSession, chain: Path, deciding: Deciding
) -> None:
    deciding.withheld = [".env"]
    (chain / ".env").write_text("TOKEN=1")
    headers = {"Berth-Withheld": "", "X-Berth-Withheld": ""}
    for method, place in (
        ("GET", "file?path=.env"), ("PUT", "file?path=.env"), ("DELETE", "file?path=.env"),
        ("GET", "download?path=.env"),
    ):  # fmt: skip
        async with http.request(method, f"{PLACE}/{place}", headers=headers) as answer:
            told = await answer.json(content_type=None)
        assert (answer.status, told["code"]) == (403, "sensitive_path")
    async with http.get(f"{PLACE}/search?text=TOKEN") as answer:
        assert (await answer.json())["withheld"] == [".env"]


async def test_withheld__directory_has_names_and_no_content(
    http: aiohttp.ClientSession, chain: Path, deciding: Deciding
) -> None:
    deciding.withheld = [".env"]
    (chain / ".env").mkdir()
    (chain / ".env/inner").write_text("TOKEN=1")
    async with http.get(f"{PLACE}/tree?path=.env") as answer:
        (entry,) = (await answer.json())["items"]
    assert (entry["path"], entry["withheld"]) == (".env/inner", True)
    async with http.get(f"{PLACE}/search?path=.env&name=inn*") as answer:
        (found,) = (await answer.json())["items"]
    assert (found["entry"]["withheld"], found["lines"]) == (True, [])
    async with http.get(f"{PLACE}/search?path=.env&text=TOKEN") as answer:
        told = await answer.json()
    assert (told["items"], told["withheld"]) == ([], [".env/inner"])


async def test_reader__that_takes_nothing_holds_no_thread(
    http: aiohttp.ClientSession, chain: Path
) -> None:
    for number in range(6):
        (chain / f"{number}").write_bytes(bytes(64 * MIB))
    slow = [await http.get(f"{PLACE}/download") for _ in range(6)]
    try:
        async with asyncio.timeout(20), http.get(f"{PLACE}/tree") as answer:
            assert len((await answer.json())["items"]) == 6
    finally:
        for one in slow:
            one.close()


async def test_upload__that_is_cut_leaves_nothing(http: aiohttp.ClientSession, chain: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * MIB
        raise RuntimeError("left")

    (chain / "f").write_text("whole")
    with pytest.raises(aiohttp.ClientError):
        await http.put(f"{PLACE}/file?path=f", data=broken())

    async def nothing_aside() -> bool:
        return names(chain) == ["f"]

    await eventually(nothing_aside, "what came is gone")
    assert (chain / "f").read_text() == "whole"
