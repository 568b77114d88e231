"""Archives that somebody made: each is refused in words, and nothing of it is seen (D18, H11)."""

import asyncio
import json
import tarfile
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
import zstandard
from blake3 import blake3

from control_plane.services.imports import Imports
from snapshots.content import laid
from snapshots.manifest import Footer, Limits, Manifest, ManifestWriter
from snapshots.model import Item, Kind, Pack, Part
from tests.control_plane.history.archived import (
    Members,
    members_of,
    sealed,
    whole,
    with_json,
    with_lines,
    with_manifest,
)
from tests.control_plane.history.desk import Desk
from tests.control_plane.history.test_archives import FILES, exported, sent
from tests.fixtures.control_plane import Caller, Plane
from tests.fixtures.deadlines import eventually

LIMITS = Limits(1000, 1_000_000_000)


@pytest.fixture
async def members(desk: Desk) -> Members:
    session = await desk.session()
    await desk.turn(session, "one", FILES)
    return members_of(await exported(desk, session))


async def refused(desk: Desk, archive: bytes) -> httpx.Response:
    """400, and nothing is there that was not before."""
    answer = await sent(desk.http, desk.project, archive)
    assert answer.status_code in {400, 404, 413}, answer.text
    assert await desk.office.value("SELECT count(*) FROM sessions") == 1
    assert await desk.office.value("SELECT count(*) FROM snapshots") == 1
    assert await desk.office.value("SELECT count(*) FROM streams WHERE kind = 'session'") == 1
    return answer


async def test_what_was_not_changed__is_taken(desk: Desk, members: Members) -> None:
    assert (await sent(desk.http, desk.project, sealed(members))).status_code == 201


async def test_cut_anywhere(desk: Desk, members: Members) -> None:
    archive = sealed(members)
    for length in (0, 1, 512, 700, len(archive) // 2, len(archive) - 1025, len(archive) - 2049):
        await refused(desk, archive[:length])


async def test_a_bit_anywhere(desk: Desk, members: Members) -> None:
    archive = sealed(members)
    for place in range(0, len(archive) - 2048, max(1, len(archive) // 40)):
        changed = bytearray(archive)
        changed[place] ^= 4
        await refused(desk, bytes(changed))


async def test_members_that_are_no_files(desk: Desk, members: Members) -> None:
    kinds = {
        tarfile.SYMTYPE: {"linkname": "/etc/passwd"},
        tarfile.LNKTYPE: {"linkname": "../../x"},
        tarfile.CHRTYPE: {},
        tarfile.DIRTYPE: {},
        tarfile.FIFOTYPE: {},
        tarfile.XHDTYPE: {},
        tarfile.GNUTYPE_LONGNAME: {},
    }
    for kind, changes in kinds.items():
        archive = whole("berth.json", members["berth.json"], type=kind, **changes)
        await refused(desk, archive + bytes(1024))


async def test_members_of_other_names_order_and_number(desk: Desk, members: Members) -> None:
    names = list(members)
    for name in ("../berth.json", "/berth.json", "packs/../manifest", "berth.json/"):
        await refused(desk, whole(name, members["berth.json"]) + bytes(1024))
    swapped = {name: members[name] for name in (names[1], names[0], *names[2:])}
    await refused(desk, sealed(swapped))
    without = {name: one for name, one in members.items() if name != "packs/000000"}
    await refused(desk, sealed(without))
    more = {**{n: members[n] for n in names[:3]}, "packs/000001": members["packs/000000"]}
    await refused(desk, sealed({**more, **{n: members[n] for n in names[3:]}}))
    twice = whole("berth.json", members["berth.json"]) * 2
    await refused(desk, twice + bytes(1024))
    await refused(desk, sealed(members)[:-1024] + whole("more", b"x") + bytes(1024))
    await refused(desk, sealed(members) + b"more")


async def test_sizes_that_lie(desk: Desk, members: Members) -> None:
    for name, content in members.items():
        for size in (0, len(content) + 1, 1 << 32):
            head = whole(name, b"", size=size)[:512]
            before = [
                whole(one, members[one]) for one in list(members)[: list(members).index(name)]
            ]
            await refused(desk, b"".join(before) + head + content + bytes(4096))


HEADS: dict[str, Callable[[dict[str, Any]], None]] = {
    "format": lambda head: head.update(format=2),
    "no session": lambda head: head.pop("session"),
    "an agent that nobody has": lambda head: head["session"].update(agent="none"),
    "another manifest": lambda head: head.update(manifest_sha256="0" * 64),
    "fewer packs": lambda head: head.update(packs=0),
    "more packs": lambda head: head.update(packs=2**40),
    "a title without end": lambda head: head["session"].update(title="x" * 201),
}


@pytest.mark.parametrize("how", HEADS)
async def test_heads(desk: Desk, members: Members, how: str) -> None:
    await refused(desk, with_json(members, "berth.json", HEADS[how]))


def crafted(members: Members, *items: Item) -> bytes:
    manifest = Manifest(members["manifest"], LIMITS)
    writer = ManifestWriter()
    for item in items:
        writer.add(item)
    return with_manifest(members, writer.finish(manifest.packs, []))


def file(path: bytes, *parts: Part) -> Item:
    return Item(path, Kind.FILE, 0o644, 1, size=sum(one.size for one in parts), parts=parts)


def directory(path: bytes) -> Item:
    return Item(path, Kind.DIRECTORY, 0o755, 1)


TREES: dict[str, tuple[Item, ...]] = {
    "up": (file(b"../x"),),
    "up in the middle": (directory(b"a"), file(b"a/../../x")),
    "absolute": (file(b"/etc/passwd"),),
    "empty": (file(b""),),
    "a NUL": (file(b"a\0b"),),
    "a dot": (file(b"./a"),),
    "a slash behind": (file(b"a/"),),
    "a long name": (file(b"a" * 256),),
    "through a link": (Item(b"a", Kind.LINK, 0o777, 1, target=b"/etc"), file(b"a/passwd")),
    "beneath a file": (file(b"a"), file(b"a/b")),
    "beneath nothing": (file(b"a/b"),),
    "twice": (file(b"a"), file(b"a")),
    "out of order": (file(b"b"), file(b"a")),
    "a link to nowhere": (Item(b"a", Kind.LINK, 0o777, 1),),
    "a twin of what follows": (Item(b"a", Kind.TWIN, 0o644, 1, target=b"b"), file(b"b")),
    "a pack that is not there": (file(b"a", Part(1, bytes(32), 9, 0, 1)),),
    "beyond its pack": (file(b"a", Part(1, bytes(32), 0, 1 << 40, 1)),),
    "before its pack": (file(b"a", Part(1, bytes(32), 0, -1, 1)),),
    "a part without end": (file(b"a", Part(1 << 40, bytes(32), 0, 0, 1)),),
    "a size that lies": (msgspec.structs.replace(file(b"a"), size=1 << 50),),
    "a hole of a petabyte that is content": (
        Item(b"a", Kind.DIRECTORY, 0o755, 1, size=1 << 50, parts=(Part(1 << 50),)),
    ),
}


@pytest.mark.parametrize("how", TREES)
async def test_trees(desk: Desk, members: Members, how: str) -> None:
    answer = await refused(desk, crafted(members, *TREES[how]))
    assert "a manifest that can be restored" in answer.text, "not for its packs"


async def test_a_manifest_that_says_less_than_it_has(desk: Desk, members: Members) -> None:
    """Its footer counts nothing; what a restore would make is counted."""
    manifest = Manifest(members["manifest"], LIMITS)
    totals = msgspec.structs.replace(manifest.totals, items=0, bytes=0)
    footer: Footer = msgspec.structs.replace(manifest.footer, totals=totals)
    frame = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(footer))
    end = manifest.footer.segments[-1].offset + manifest.footer.segments[-1].length
    lying = members["manifest"][:end] + frame + len(frame).to_bytes(4, "big") + b"BRT2"
    answer = await refused(desk, with_manifest(members, lying))
    assert "the totals differ" in answer.text


async def test_a_manifest_that_grows(desk: Desk, members: Members) -> None:
    """A terabyte of one frame, again and again: more than what any executor restores."""
    content = bytes(4 * 1024 * 1024)
    frame = laid(content[:1024])
    part = Part(1024, blake3(content[:1024]).digest(), 0, 0, len(frame))
    writer = ManifestWriter()
    many = tuple([part] * 1000)
    for number in range(10):
        writer.add(file(b"%06d" % number, *many))
    packed = {**members, "packs/000000": frame}
    taken = with_manifest(packed, writer.finish([Pack("packs/000000", len(frame))], []))
    assert (await sent(desk.http, desk.project, taken)).status_code == 201, "it is small"
    writer = ManifestWriter()
    hundred = tuple([msgspec.structs.replace(part, size=4 * 1024 * 1024)] * 1000)
    for number in range(30):
        writer.add(file(b"%06d" % number, *hundred))
    grown = with_manifest(packed, writer.finish([Pack("packs/000000", len(frame))], []))
    answer = await sent(desk.http, desk.project, grown)
    assert (answer.status_code, "too_large" in answer.text) == (400, True)


async def test_a_manifest_that_becomes_large(desk: Desk, members: Members) -> None:
    """Few bytes that would be millions of parts, in a segment or in the footer."""
    manifest = Manifest(members["manifest"], LIMITS)
    parts = tuple([Part(1)] * 4_500_000)
    writer = ManifestWriter()
    writer.add(file(b"a", *parts))
    small = writer.finish(manifest.packs, [])
    assert len(small) < 100_000
    answer = await refused(desk, with_manifest(members, small))
    assert "a manifest that can be restored" in answer.text
    writer = ManifestWriter()
    large = writer.finish([Pack("", 1)] * 3_000_000, [])
    assert len(large) < 100_000
    answer = await refused(desk, with_manifest(members, large))
    assert "a manifest that can be restored" in answer.text


async def test_more_packs_than_a_manifest_has_room_for(desk: Desk, members: Members) -> None:
    """Told before any of them is sent."""
    count = 60_000
    writer = ManifestWriter()
    for number in range(3):
        writer.add(directory(b"%d" % number))
    many = writer.finish([Pack(f"packs/{number:06d}", 1) for number in range(count)], [])
    changed = with_manifest(members, many)
    archive = with_json(members_of(changed), "berth.json", lambda head: head.update(packs=count))
    answer = await refused(desk, archive)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_packs_of_something_else(desk: Desk, members: Members) -> None:
    pack = members["packs/000000"]
    for other in (bytes(len(pack)), pack[:-1] + bytes([pack[-1] ^ 1]), pack[1:] + b"\0"):
        await refused(desk, sealed({**members, "packs/000000": other}))


EVENTS: dict[str, Any] = {
    "another kind": {"kind": "worker.created", "worker_id": str(uuid4()), "epoch": 1},
    "the platform's": {"kind": "security.audit.recorded", "action": "keys.create"},
    "no kind": {"text": "x"},
    "an unknown kind": {"kind": "message.invented", "text": "x"},
}


@pytest.mark.parametrize("how", EVENTS)
async def test_events_that_are_no_conversation(desk: Desk, members: Members, how: str) -> None:
    await refused(desk, with_lines(members, lambda lines: lines[1].update(event=EVENTS[how])))


LINES: dict[str, Callable[[list[dict[str, Any]]], None]] = {
    "an event before its run": lambda lines: lines.reverse(),
    "a run twice": lambda lines: lines.insert(0, lines[0]),
    "a run without events": lambda lines: lines.append({**lines[0], "number": 1}),
    "an event of no run": lambda lines: lines[1].update(run=7),
    "a time without a zone": lambda lines: lines[1].update(at="2026-01-01T00:00:00"),
    "a time before all": lambda lines: lines[1].update(at="0001-01-01T00:00:00+14:00"),
    "a run that lives": lambda lines: lines[0].update(state="running"),
    "a reason that there is not": lambda lines: lines[0].update(reason="invented"),
    "an attempt beyond all": lambda lines: lines[1].update(attempt=2**40),
    "something else": lambda lines: lines.append({"type": "other"}),
}


@pytest.mark.parametrize("how", LINES)
async def test_lines(desk: Desk, members: Members, how: str) -> None:
    await refused(desk, with_lines(members, LINES[how]))


async def test_an_end_that_counts_otherwise(desk: Desk, members: Members) -> None:
    await refused(desk, with_json(members, "end.json", lambda end: end.update(runs=7)))


async def test_names_of_people__are_nobodys_here(desk: Desk, members: Members) -> None:
    """Who sends an archive may have written it: nothing in it speaks for anybody."""
    somebody, request = str(uuid4()), str(uuid4())

    def forged(lines: list[dict[str, Any]]) -> None:
        lines[1]["event"]["user_id"] = somebody
        asked = {"kind": "human_loop.requested", "request_id": request, "type": "permission",
                 "title": "rm -r /"}  # fmt: skip
        said = {"kind": "human_loop.resolved", "request_id": request, "outcome": "answered",
                "by": somebody, "option_kind": "allow_always"}  # fmt: skip
        lines += [{**lines[1], "event": asked}, {**lines[1], "event": said}]
        lines[0]["output"] = "with a \0 in it"

    answer = await sent(desk.http, desk.project, with_lines(members, forged))
    assert answer.status_code == 201, answer.text
    log = json.dumps(await desk.transcript(answer.json()["id"]))
    assert somebody not in log
    assert request not in log
    assert await desk.office.value("SELECT count(*) FROM human_loop_requests") == 0


async def test_one_who_sends_without_end__holds_up_nobody_else(
    plane: Plane, desk: Desk, members: Members, member: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as one may have at once, each with a part that never comes."""
    imports: Imports = plane.app.services.imports
    monkeypatch.setattr(imports._slots, "_seconds", 0.2)
    archive, never = sealed(members), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield archive[:2000]
        await never.wait()
        yield archive[2000:]

    going = [asyncio.create_task(sent(desk.http, desk.project, endless())) for _ in range(2)]

    async def held() -> bool:
        return imports._slots._held.total() == 2

    await eventually(held, "they were not taken up")
    third = await sent(desk.http, desk.project, archive)
    assert (third.status_code, third.json()["code"]) == (429, "rate_limited")
    assert (await sent(member.http, desk.project, archive)).status_code == 201
    never.set()
    assert [(await one).status_code for one in going] == [201, 201]
