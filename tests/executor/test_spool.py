"""The spool: order, durability, torn tails, whose it is, back-pressure."""

import asyncio
import datetime
import os
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
import zstandard

from contracts.events import RunLog
from contracts.spool import AnyEntry, EventReported, StopFailed
from executor.services.superseding import spool_content
from executor.spool import UNNUMBERED, Spool, SpoolIdentity, SpoolRefused

OWNER = SpoolIdentity(worker_id=UUID(int=1), epoch=1, boot_id="boot")
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
ALL = 1_000_000


def event(text: str) -> EventReported:
    raw = msgspec.Raw(msgspec.json.encode(RunLog(text=text)))
    return EventReported(seq=UNNUMBERED, at=NOW, event=raw)


async def opened(place: Path, owner: SpoolIdentity = OWNER, size: int = ALL) -> Spool:
    return await Spool.open(place / "spool", owner, max_bytes=size)


async def texts(spool: Spool, after: int = 0) -> list[tuple[int, str]]:
    found = await spool.read(after, entries=10_000, size=1 << 30)
    return [
        (seq, msgspec.json.decode(entry.event)["text"])
        for seq, entry in found
        if isinstance(entry, EventReported)
    ]


async def test_append__concurrent_ones_are_numbered_in_order_and_survive(place: Path) -> None:
    spool = await opened(place)
    seqs = await asyncio.gather(*(spool.append(event(str(n))) for n in range(200)))
    await spool.close()
    again = await opened(place)
    assert seqs == list(range(1, 201))
    assert await texts(again) == [(n + 1, str(n)) for n in range(200)]
    assert await again.append(event("next")) == 201
    await again.close()


async def test_read__bounded_and_continued(place: Path) -> None:
    spool = await opened(place)
    for n in range(5):
        await spool.append(event(str(n)))
    assert [seq for seq, _ in await spool.read(0, entries=2, size=ALL)] == [1, 2]
    assert [seq for seq, _ in await spool.read(2, entries=9, size=1)] == [3]
    assert [seq for seq, _ in await spool.read(1, entries=9, size=ALL)] == [2, 3, 4, 5]
    await spool.close()


@pytest.mark.parametrize("cut", [1, 5, 19, 20, 40])
async def test_recovery__torn_tail_is_cut_off(place: Path, cut: int) -> None:
    spool = await opened(place)
    await spool.append(event("kept"))
    kept = (await asyncio.to_thread(segment, place)).stat().st_size
    await spool.append(event("torn"))
    await spool.close()
    os.truncate(segment(place), kept + cut)
    again = await opened(place)
    assert await texts(again) == [(1, "kept")]
    assert await again.append(event("new")) == 2
    assert await texts(again) == [(1, "kept"), (2, "new")]
    await again.close()


def segment(place: Path) -> Path:
    return max((place / "spool").glob("*.seg"))


async def test_recovery__nothing_of_a_torn_tail_stays(place: Path) -> None:
    spool = await opened(place)
    await spool.append(event("torn" * 1000))
    await spool.close()
    os.truncate(segment(place), segment(place).stat().st_size - 1)
    again = await opened(place)
    await again.append(event("short"))
    await again.close()
    last = await opened(place)
    assert await texts(last) == [(1, "short")]
    await last.close()


@pytest.mark.parametrize("offset", [3, 14, 30])
async def test_recovery__a_flipped_byte_is_refused(place: Path, offset: int) -> None:
    spool = await opened(place)
    await spool.append(event("first"))
    await spool.append(event("second"))
    await spool.close()
    content = bytearray(segment(place).read_bytes())
    content[offset] ^= 1
    segment(place).write_bytes(content)
    with pytest.raises(SpoolRefused, match="corrupt"):
        await opened(place)


@pytest.mark.parametrize("field", ["worker_id", "epoch", "boot_id"])
async def test_open__of_another_worker_epoch_or_boot_is_refused(place: Path, field: str) -> None:
    await (await opened(place)).close()
    values = {"worker_id": uuid4(), "epoch": 2, "boot_id": "other"}
    other = msgspec.structs.replace(OWNER, **{field: values[field]})
    with pytest.raises(SpoolRefused, match=f"other_{field}"):
        await opened(place, other)


async def test_acknowledge__drained_files_go_and_the_numbers_stay(place: Path) -> None:
    spool = await opened(place, size=1 << 30)
    for _ in range(5):
        await spool.append(event("x" * 30_000))
    await spool.acknowledge(3)
    assert spool.pending == 2
    await spool.acknowledge(5)
    await asyncio.wait_for(spool.drained(), 30)
    assert not list((place / "spool").glob("*.seg"))
    await spool.close()
    again = await opened(place)
    assert await again.append(event("next")) == 6
    assert await texts(again, after=5) == [(6, "next")]
    await again.close()


async def test_append__a_full_spool_holds_back_events_but_not_the_end(place: Path) -> None:
    spool = await opened(place, size=100_000)
    await spool.append(event("x" * 100_000))
    held = asyncio.create_task(spool.append(event("held")))
    await asyncio.wait_for(
        spool.append(StopFailed(seq=UNNUMBERED, at=NOW, reason="passes")), timeout=30
    )
    assert not held.done()
    await spool.acknowledge(2)
    assert await asyncio.wait_for(held, 30) == 3
    await spool.close()


async def test_append__a_disk_that_refuses_is_tried_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = await opened(place)
    monkeypatch.setattr("executor.spool.RETRY_SECONDS", 0.01)
    refusals = iter([OSError(28, "No space left on device")] * 3)
    sync = os.fdatasync

    def full(descriptor: int) -> None:
        for error in refusals:
            raise error
        sync(descriptor)

    monkeypatch.setattr("os.fdatasync", full)
    assert await asyncio.wait_for(spool.append(event("kept")), 30) == 1
    assert await texts(spool) == [(1, "kept")]
    await spool.close()


def unpacked(content: bytearray) -> list[AnyEntry]:
    lines = zstandard.ZstdDecompressor().decompressobj().decompress(content).splitlines()
    return [msgspec.json.decode(line, type=AnyEntry) for line in lines]


async def test_content__of_all_that_is_not_acknowledged(place: Path) -> None:
    spool = await opened(place)
    for n in range(9):
        await spool.append(event(str(n)))
    await spool.acknowledge(4)
    assert [entry.seq for entry in unpacked(await spool_content(spool))] == [5, 6, 7, 8, 9]
    await spool.close()


async def test_content__larger_than_an_object_is_cut_and_says_so(place: Path) -> None:
    """An object that is refused would have the save aside fail for ever."""
    spool = await opened(place, size=1 << 30)
    for _ in range(40):
        await spool.append(event(os.urandom(8192).hex()))
    content = await spool_content(spool, most=100_000)
    assert 80_000 < len(content) <= 100_000
    *sent, told = unpacked(content)
    assert [entry.seq for entry in sent] == list(range(1, len(sent) + 1))
    assert isinstance(told, EventReported)
    assert told.seq == len(sent) + 1
    assert f"entries {told.seq} to 40".encode() in bytes(told.event)
    await spool.close()
