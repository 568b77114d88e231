"""What of a pack is fetched, and in how many requests."""

from executor.workspace.planning import STRETCH_BYTES, Load, Plan, jobs_of
from executor.workspace.reusing import NOTHING
from snapshots.manifest import Limits, Manifest, ManifestWriter
from snapshots.model import Item, Kind, Pack, Part

MIB = 1 << 20
HASH = bytes(32)


def plan_of(pack_length: int, *frames: tuple[int, int]) -> Plan:
    """`frames` are (offset, length), each of one file."""
    writer = ManifestWriter()
    for number, (offset, length) in enumerate(frames):
        part = Part(100, HASH, 0, offset, length)
        writer.add(Item(b"%04d" % number, Kind.FILE, 0o644, 1, size=100, parts=(part,)))
    stored = writer.finish([Pack("pack", pack_length)], [])
    return Plan(Manifest(stored, Limits(10_000, 1 << 40)), NOTHING)


def stretches(plan: Plan) -> list[tuple[int, int, bool]]:
    return [(load.offset, load.length, load.whole) for load in plan.loads()]


def test_loads__a_pack_of_which_half_is_needed_is_fetched_whole() -> None:
    assert stretches(plan_of(8 * MIB, (0, MIB), (5 * MIB, 3 * MIB))) == [(0, 8 * MIB, True)]


def test_loads__of_another_only_what_is_needed() -> None:
    plan = plan_of(8 * MIB, (7 * MIB, MIB), (0, 1000), (1000, 1000))
    assert stretches(plan) == [(0, 2000, False), (7 * MIB, MIB, False)]


def test_loads__what_lies_close_together_is_one_request() -> None:
    plan = plan_of(8 * MIB, (MIB, 1000), (MIB + 100_000, 1000))
    assert stretches(plan) == [(MIB, 101_000, False)]


def test_loads__of_a_large_pack_come_in_stretches() -> None:
    """As format 1 made them: not several of them whole in memory."""
    plan = plan_of(32 * MIB, *((n * MIB, MIB) for n in range(32)))
    found = stretches(plan)
    assert all(length <= STRETCH_BYTES + MIB and not whole for _, length, whole in found)
    assert sum(length for _, length, _ in found) == 32 * MIB


def test_jobs__of_one_frame_are_together() -> None:
    plan = plan_of(1000, (0, 500), (0, 500), (500, 100))
    (load,) = plan.loads()
    assert isinstance(load, Load)
    assert [[job.path for job in jobs_of(frame)] for frame in load.frames] == [
        [b"0000", b"0001"],
        [b"0002"],
    ]
