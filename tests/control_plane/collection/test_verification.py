"""Objects are deleted and corrupted; then every damaged snapshot is named, and none besides."""

import asyncio
import random
from uuid import UUID

import msgspec
import pytest
import zstandard
from blake3 import blake3

from chassis.clock import SystemClock
from chassis.errors import BerthError, NotFound
from chassis.failpoints import FailpointReached, arm, disarm_all
from chassis.files.sensitive import Sensitive
from chassis.ids import new_id
from chassis.objects import ObjectStore
from contracts.snapshots import AskRestore
from contracts.verifications import (
    Finding,
    SnapshotOutcome,
    Verification,
    VerifyWorkspaces,
)
from control_plane.domain.access import WorkerCaller
from control_plane.domain.cursors import Window
from control_plane.services.layers import Layers
from control_plane.services.pace import Pace
from control_plane.services.project_files import Bounds, ProjectFiles
from control_plane.services.project_objects import ProjectObjects
from control_plane.services.snapshots import Snapshots
from control_plane.services.verifications import Verifications
from control_plane.services.verifying import Verifying
from snapshots.model import Part
from tests.fixtures.clock import ManualClock
from tests.fixtures.office import Office
from tests.fixtures.saved import Saved, Saver

ALL = VerifyWorkspaces(all=True)
FILES = {b"f%03d" % n: random.Random(n).randbytes(150) for n in range(24)}
"""Nothing that zstd could shrink: any byte that is flipped is content."""


class Verifier:
    def __init__(self, office: Office, objects: ObjectStore) -> None:
        self._office = office
        self._objects = objects
        self.asked = Verifications(office.database)

    def another(self) -> Verifying:
        """Of a control plane that has just started."""
        pace = Pace(SystemClock(), 1024 * 1024 * 1024)
        return Verifying(self._office.database, self._objects, pace=pace, pause=0.0)

    async def ask(self, wanted: VerifyWorkspaces = ALL) -> UUID:
        by: UUID = await self._office.value(
            "INSERT INTO users (id, name) VALUES ($1, 'u') RETURNING id", new_id()
        )
        return (await self.asked.create(wanted, by=by)).id

    async def verified(self, wanted: VerifyWorkspaces = ALL) -> Verification:
        made = await self.ask(wanted)
        await self.another().run_once()
        done = await self.asked.get(made)
        assert done.state == "done"
        return done

    async def damaged(self, made: UUID) -> set[UUID]:
        found: set[UUID] = set()
        cursor: str | None = None
        while True:
            page = await self.asked.snapshots(
                made, SnapshotOutcome.DAMAGED, Window(limit=7, cursor=cursor)
            )
            found |= {one.id for one in page.items}
            if (cursor := page.next_cursor) is None:
                return found

    async def findings(self, made: UUID) -> list[Finding]:
        return (await self.asked.findings(made, None, Window(limit=200))).items


@pytest.fixture
def verifier(office: Office, objects: ObjectStore) -> Verifier:
    return Verifier(office, objects)


async def _break(objects: ObjectStore, key: str, chance: random.Random) -> bytes:
    """What is left of it."""
    content = await objects.get(key)
    match chance.randrange(3):
        case 0:
            await objects.delete(key)
            return b""
        case 1:
            broken = content[: chance.randrange(len(content))]
        case _:
            broken = _flipped(content, chance.randrange(len(content) // 2, len(content)))
    await objects.put(key, broken)
    return broken


def _is_hit(one: Saved, key: str, broken: bytes) -> bool:
    """A byte that is flipped matters to who has the file that it is in."""
    if key == one.manifest_key:
        return True
    if key not in one.keys:
        return False
    number = one.keys.index(key)
    if len(broken) != one.packs[number].length:
        return True
    parts = [part for item in one.items for part in item.parts if part.pack == number]
    return any(_read(broken, part) != part.hash for part in parts)


def _read(pack: bytes, part: Part) -> bytes:
    try:
        content = zstandard.decompress(pack[part.offset :][: part.length])
    except zstandard.ZstdError:
        return b""
    return blake3(content[part.start :][: part.size]).digest()


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x01]) + content[place + 1 :]


async def _many(office: Office, saver: Saver) -> list[Saved]:
    """40 snapshots of 8 sessions, each upon the one before; a fork of each second session."""
    chance, made = random.Random(22), list[Saved]()
    for number in range(8):
        session = await office.session()
        base: Saved | None = None
        files = {path: content + b"%d" % number for path, content in FILES.items()}
        for turn in range(4):
            base = await saver.save(session, files, base=base, order_in_epoch=turn)
            made.append(base)
            path = b"f%03d" % chance.randrange(24)
            files = files | {path: b"turn %d" % turn, b"new%d" % turn: b"%d %d" % (number, turn)}
        if number % 2:
            fork = await office.session(await saver.project_of(session))
            made.append(await saver.save(fork, files, base=base))
    return made


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_verify__names_every_damaged_snapshot_and_none_besides(
    office: Office, saver: Saver, objects: ObjectStore, verifier: Verifier, seed: int
) -> None:
    made, chance = await _many(office, saver), random.Random(seed)
    whole = await verifier.verified()
    assert (whole.findings, whole.snapshots) == (0, {"intact": len(made)})
    assert whole.packs == {"intact": len({key for one in made for key in one.keys})}
    everything = sorted(one.key for one in await objects.list("p/"))
    sample = chance.sample(everything, max(2, len(everything) // 100))
    broken = {key: await _break(objects, key, chance) for key in sample}
    done = await verifier.verified()
    expected = {
        one.id for one in made if any(_is_hit(one, key, left) for key, left in broken.items())
    }
    assert await verifier.damaged(done.id) == expected
    assert {one.snapshot_id for one in await verifier.findings(done.id)} <= expected
    assert {one.object for one in await verifier.findings(done.id)} == {
        key for key in broken if any(key in {*one.keys, one.manifest_key} for one in made)
    }
    marked = await office.fetch("SELECT id FROM snapshots WHERE damaged_at IS NOT NULL")
    assert {one["id"] for one in marked} == expected
    told = await office.fetch("SELECT payload FROM events WHERE kind = 'workspace.damaged'")
    assert {msgspec.json.decode(one["payload"])["snapshot_id"] for one in told} == {
        str(one) for one in expected
    }


async def test_verify__tells_the_place(
    office: Office, saver: Saver, objects: ObjectStore, verifier: Verifier
) -> None:
    saved = await saver.save(await office.session(), FILES | {b"\xff\n": b"odd"})
    hurt = next(item for item in saved.items if item.path == b"f007").parts[0]
    key = saved.keys[hurt.pack]
    content = await objects.get(key)
    await objects.put(key, _flipped(content, hurt.offset + hurt.length - 3))
    done = await verifier.verified()
    found = await verifier.findings(done.id)
    concerned = [item for item in saved.items if item.parts[0].offset == hurt.offset]
    concerned = [item for item in concerned if item.parts[0].pack == hurt.pack]
    assert {one.path for one in found} <= {item.path.decode() for item in concerned}
    assert {(one.object, one.offset, one.length) for one in found} == {
        (key, hurt.offset, hurt.length)
    }
    assert {(one.snapshot_id, one.session_id) for one in found} == {(saved.id, saved.session_id)}
    last = saved.items[-1]
    assert last.path == b"\xff\n"
    await objects.delete(saved.keys[last.parts[0].pack])
    again = await verifier.verified()
    missing = {one.path: one.found for one in await verifier.findings(again.id)}
    assert missing["\\xff\n"] == "missing"


async def test_marks__are_taken_back_when_what_was_missing_is_there_again(
    office: Office, saver: Saver, objects: ObjectStore, verifier: Verifier
) -> None:
    session = await office.session()
    saved = await saver.save(session, FILES)
    content = await objects.get(saved.keys[0])
    await objects.delete(saved.keys[0])
    reported = await verifier.verified(VerifyWorkspaces(session_id=session, marks=False))
    assert reported.snapshots == {"damaged": 1}
    marks = "SELECT count(*) FROM snapshots WHERE damaged_at IS NOT NULL"
    assert await office.value(marks) == 0
    await verifier.verified()
    assert await office.value(marks) == 1
    await objects.put(saved.keys[0], content)
    await verifier.verified(VerifyWorkspaces(project_id=await saver.project_of(session)))
    assert await office.value(marks) == 0


async def test_scope__leaves_others_alone_and_is_one_at_a_time(
    office: Office, saver: Saver, objects: ObjectStore, verifier: Verifier
) -> None:
    mine = await saver.save(await office.session(), FILES)
    other = await saver.save(await office.session(), FILES)
    for one in (mine, other):
        await objects.delete(one.keys[0])
    wanted = VerifyWorkspaces(session_id=mine.session_id)
    assert await verifier.ask(wanted) == await verifier.ask(wanted)
    done = await verifier.verified(wanted)
    assert await verifier.damaged(done.id) == {mine.id}
    for wrong in (VerifyWorkspaces(), VerifyWorkspaces(all=True, session_id=mine.session_id)):
        with pytest.raises(BerthError) as refused:
            await verifier.ask(wrong)
        assert "exactly one of" in str(refused.value)
    with pytest.raises(NotFound):
        await verifier.asked.findings(new_id(), None, Window())


async def test_plan__prefers_the_nearest_that_is_intact_and_says_so(
    office: Office, saver: Saver, objects: ObjectStore, verifier: Verifier
) -> None:
    session, host = await office.session(), await office.host()
    first = await saver.save(session, FILES, order_in_epoch=1)
    second = await saver.save(session, FILES | {b"b": b"2"}, base=first, order_in_epoch=2)
    head = await saver.save(session, FILES | {b"b": b"3"}, base=second, order_in_epoch=3)
    await objects.delete(next(iter(set(head.keys) - set(second.keys))))
    await verifier.verified()
    grant = (await office.running(session, host)).grant
    worker = WorkerCaller(
        id=grant.worker_id,
        session_id=session,
        project_id=await saver.project_of(session),
        manager_id=host.id,
        epoch=grant.epoch,
        superseded=False,
        released=False,
    )
    files = ProjectFiles(
        office.database,
        ProjectObjects(office.database, objects, grace=1),
        sensitive=Sensitive([]),
        bounds=Bounds(file_bytes=1, project_bytes=1, entries=1),
    )
    snapshots = Snapshots(office.database, objects, Layers(files))
    plan = await snapshots.plan(worker, AskRestore(epoch=grant.epoch))
    assert [point.snapshot_id for point in plan.points] == [second.id, head.id]
    assert (plan.head, plan.damaged) == (head.id, [head.id])


@pytest.mark.parametrize(
    "place",
    [
        "verification.manifest_read",
        "verification.window_read",
        "verification.window_settled",
        "verification.marked",
    ],
)
async def test_crash__at_every_step_is_carried_on_and_nothing_told_twice(
    office: Office, saver: Saver, objects: ObjectStore, verifier: Verifier, place: str
) -> None:
    saved = await saver.save(await office.session(), FILES)
    await objects.delete(saved.keys[0])
    made = await verifier.ask()
    arm(place, _stop)
    with pytest.raises(FailpointReached):
        await verifier.another().run_once()
    disarm_all()
    await verifier.another().run_once()
    assert (await verifier.asked.get(made)).state == "done"
    found = await verifier.findings(made)
    assert {one.path for one in found} == {one.decode() for one in saved.paths_in(saved.keys[0])}
    assert len(found) == len({one.path for one in found})
    assert await office.value("SELECT count(*) FROM events WHERE kind = 'workspace.damaged'") == 1


async def test_replicas__at_the_same_time_read_each_pack_once(
    office: Office, saver: Saver, verifier: Verifier
) -> None:
    made = [await saver.save(await office.session(), FILES) for _ in range(3)]
    asked = await verifier.ask()
    done = await asyncio.gather(*(verifier.another().run_once() for _ in range(3)))
    assert sum(one["packs"] for one in done) == sum(len(one.packs) for one in made)
    assert (await verifier.asked.get(asked)).snapshots == {"intact": 3}


async def test_snapshot__that_goes_meanwhile_is_no_damage(
    office: Office, saver: Saver, objects: ObjectStore, verifier: Verifier
) -> None:
    saved = await saver.save(await office.session(), FILES)
    made = await verifier.ask()
    await office.execute("DELETE FROM streams WHERE id = $1", saved.session_id)
    for key in (*saved.keys, saved.manifest_key):
        await objects.delete(key)
    await verifier.another().run_once()
    assert (await verifier.asked.get(made)).snapshots == {"gone": 1}


async def test_pace__is_kept() -> None:
    clock = ManualClock()
    pace, began = Pace(clock, 1000.0), clock.now
    await asyncio.gather(*(pace.take(50) for _ in range(4)))
    assert clock.now - began == pytest.approx(0.2)


def _stop() -> None:
    raise FailpointReached("here")
