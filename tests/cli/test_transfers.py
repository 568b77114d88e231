"""Contents and lists that come in pieces: how far they are, and what is said of a cut."""

import io
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from chassis.ids import new_id
from cli import archives, progress
from cli.client import ApiClient, Place, Unreachable
from cli.exits import CliError, Exit
from cli.output import Output
from cli.pages import items
from cli.progress import metered
from cli.transfers import fetch_file, pieces_of, received, send_file, sent
from cli.trees.receiving import received as tree_received
from cli.trees.sending import measured, send_tree
from contracts.projects import KeyList
from contracts.trees import BYTES_HEADER, FILES_HEADER
from contracts.workspace_files import WrittenFile

CONTENT = os.urandom(600_000)
WRITTEN = {"entry": {"path": "f", "name": "f", "kind": "file", "size": 600_000, "mode": 420,
                     "mtime": 0}, "created": True}  # fmt: skip
SESSION = {"id": str(new_id()), "project_id": str(new_id()), "title": "", "agent": "scripted",
           "state": "active", "last_seq": 1, "created_at": "2026-01-01T00:00:00Z",
           "updated_at": "2026-01-01T00:00:00Z"}  # fmt: skip


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(progress.StatusLine, "show", lambda _, text: lines.append(text))
    return lines


def asking(handler: Callable[[httpx.Request], httpx.Response]) -> ApiClient:
    client = ApiClient(Place(url="http://berth", key="k"))
    transport = httpx.MockTransport(handler)
    client.http = httpx.AsyncClient(transport=transport, base_url="http://berth")
    return client


def cut_by(error: type[httpx.TransportError]) -> ApiClient:
    """After the first bytes of an answer, and before that of what is sent."""

    async def some() -> AsyncGenerator[bytes]:
        yield b"some"
        raise error("cut")

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            raise error("cut")
        if request.url.path.endswith("export"):
            return httpx.Response(200, content=some())
        return httpx.Response(200, json=SESSION)

    return asking(answer)


def names(directory: Path) -> list[str]:
    return [one.name for one in directory.iterdir()]


async def test_files__tell_how_far_they_are(tmp_path: Path, told: list[str]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, content=CONTENT)
        assert request.content == CONTENT
        return httpx.Response(201, json=WRITTEN)

    async with asking(answer) as client:
        assert await fetch_file(client, "/f", tmp_path / "f") == 600_000
        assert (tmp_path / "f").read_bytes() == CONTENT
        assert told[-1].startswith("fetching f: 600.0 kB of 600.0 kB")
        told.clear()
        with (tmp_path / "f").open("rb") as file:
            headers = {"Content-Length": "600000"}
            await send_file(client, "PUT", "/f", WrittenFile, file=file, headers=headers, what="f")
    assert told[0].startswith("sending f: 262.1 kB of 600.0 kB")
    assert told[-1].startswith("sending f: 600.0 kB of 600.0 kB")


async def test_received__a_tree_says_how_much_it_is(told: list[str]) -> None:
    headers = {FILES_HEADER: "12", BYTES_HEADER: "1200000"}
    file = io.BytesIO()
    async with asking(lambda _: httpx.Response(200, content=CONTENT, headers=headers)) as client:
        with metered(Output(), "fetching x") as meter:
            await received(client, "/f", file, meter)
    assert file.getvalue() == CONTENT
    assert told[-1].startswith("fetching 12 files: 600.0 kB of 1.2 MB")


async def test_cut__said_of_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("f")
    session = new_id()
    async with cut_by(httpx.RemoteProtocolError) as client:
        with pytest.raises(CliError, match="archive was cut before its end") as of_archive:
            await archives.fetch(client, session, None, str(tmp_path / "a.tar"))
        with pytest.raises(CliError, match="workspace was cut before its end") as of_tree:
            async with tree_received(client, session, {}, Output()):
                raise AssertionError
    async with cut_by(httpx.ReadError) as client:
        place = await measured(str(tmp_path))
        with pytest.raises(CliError, match="cut while the tree was sent") as of_sent:
            await send_tree(client, session, place, Output())
    codes = [one.value.exit_code for one in (of_archive, of_tree, of_sent)]
    assert codes == [Exit.REFUSED, Exit.REFUSED, Exit.UNREACHABLE]
    assert names(tmp_path) == ["f"]


async def test_cut__of_others_is_a_place_that_cannot_be_reached(tmp_path: Path) -> None:
    async with cut_by(httpx.ReadError) as client:
        with pytest.raises(Unreachable):
            await archives.fetch(client, new_id(), None, str(tmp_path / "a.tar"))
    async with cut_by(httpx.RemoteProtocolError) as client:
        with pytest.raises(Unreachable):
            await fetch_file(client, "/export", tmp_path / "f")
        with metered(Output(), "sending x") as meter:
            pieces = pieces_of(io.BytesIO(b"x"), meter)
            with pytest.raises(Unreachable):
                await sent(client, "POST", "/f", WrittenFile, pieces=pieces, headers={})
    assert names(tmp_path) == []


async def test_items__page_after_page() -> None:
    keys = [{"id": str(new_id()), "user_id": str(new_id()), "project_id": None, "name": f"{n}",
             "created_at": "2026-01-01T00:00:00Z"} for n in range(5)]  # fmt: skip
    asked: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        begin = int(request.url.params.get("cursor", "0"))
        after = str(begin + 2) if begin + 2 < len(keys) else None
        page = {"items": keys[begin : begin + 2], "next_cursor": after}
        return httpx.Response(200, content=msgspec.json.encode(page))

    async with asking(answer) as client:
        found = [one.name async for one in items(client, "/keys", KeyList, path="x")]
    assert found == ["0", "1", "2", "3", "4"]
    assert asked == [
        {"limit": "200", "path": "x", **more} for more in ({}, {"cursor": "2"}, {"cursor": "4"})
    ]
