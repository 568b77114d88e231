"""What a page takes of memory, whatever it is made of."""

import gzip
import tracemalloc
from collections.abc import AsyncGenerator, Generator

import pytest

from contracts.relay import NamedUpstream
from executor_manager.relay.index.links import Links, rewrite_html
from executor_manager.relay.index.pages import CHUNK, PageTooLarge, Place, Room, read_page

MIB = 1024 * 1024
PYPI = NamedUpstream(
    name="pypi",
    url="https://index.test",
    methods=["GET"],
    paths=[],
    index="pypi",
    file_hosts=["https://files.test"],
)


@pytest.fixture
def traced() -> Generator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


class Sent:
    """Parts as an index sends them, as long as they are asked for."""

    def __init__(self, *parts: bytes, then: bytes = b"", times: int = 0) -> None:
        self._parts = [*parts, *([then] * times)]
        self.taken = 0

    async def parts(self) -> AsyncGenerator[bytes]:
        for part in self._parts:
            self.taken += 1
            yield part


async def read(sent: Sent) -> bytes:
    return await read_page(sent.parts(), "gzip", limit=MIB, place=Place(Room(4 * MIB)))


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
async def test_a_packed_page__comes_out_whole_in_whatever_parts(size: int) -> None:
    page = b"".join(b'<a href="%d">' % number for number in range(5000)) + b"x" * 3 * CHUNK
    packed = gzip.compress(page)
    parts = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert await read(Sent(*parts)) == page


@pytest.mark.usefixtures("traced")
async def test_a_bomb__is_unpacked_in_small_parts() -> None:
    bomb = Sent(gzip.compress(b"\0" * 64 * MIB))
    tracemalloc.reset_peak()
    with pytest.raises(PageTooLarge):
        await read(bomb)
    assert tracemalloc.get_traced_memory()[1] < 4 * MIB


@pytest.mark.usefixtures("traced")
async def test_what_follows_a_packed_page__is_not_kept() -> None:
    page = gzip.compress(b"<a>")
    endless = Sent(page, then=b"x" * CHUNK, times=1000)
    tracemalloc.reset_peak()
    with pytest.raises(ValueError, match="follows its end"):
        await read(endless)
    assert endless.taken == 2
    for follows in (b"x", page):
        with pytest.raises(ValueError, match="follows its end"):
            await read(Sent(page + follows))


@pytest.mark.usefixtures("traced")
def test_a_page_of_few_wide_characters__takes_no_more_room_than_another() -> None:
    link = b'<a href="https://files.test/p/b.whl">\xf0\x9f\x90\x8d</a>'
    body = b"x" * 4 * MIB + link
    tracemalloc.reset_peak()
    new = rewrite_html(body, Links(PYPI, "https://index.test/simple/b/", ""))
    assert tracemalloc.get_traced_memory()[1] < 6 * len(body)
    assert new == b"x" * 4 * MIB + link.replace(b"https://files.test", b"/pypi/-/files/0")
