"""What must hold after a case that hurt something, once it is quiet again (faults, V1 to V5, V7 to
V10, V12): by the database, the store, the engine, the kernel, and what the services printed.
"""

import asyncio
from pathlib import Path

from tests.e2e.canaries import deployment_secrets, held_by
from tests.e2e.cases import Check, Scene
from tests.e2e.census import besides_workers, workers_of
from tests.e2e.stack import PROJECT_LABEL, Stack
from tests.fixtures.deadlines import eventually
from tests.system.oracle import canary, examine_records
from tests.system.trees import Damage, differences, read_manifest
from tests.system.visitor import Visitor

TIDY_WITHIN = 90.0
NOT_CONTENT = b"lost+found"
"""Of a disk that is a file system of its own."""
_IDLE = """
SELECT p.manifest_key, p.manifest_sha256, w.id AS worker_id FROM sessions s
JOIN snapshots p ON p.id = s.head_snapshot_id
JOIN session_workers w ON w.session_id = s.id AND w.state = 'idle'
    AND w.superseded_at IS NULL AND w.released_at IS NULL
WHERE s.id = $1
"""
_OPEN = """
SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database()
AND state LIKE 'idle in transaction%' AND now() - state_change > interval '5 s'
"""


def sound(stack: Stack) -> Check:
    """For cases that are played one at a time."""

    async def check(scene: Scene) -> None:
        await examine_records(stack, scene.visitor)
        await saved_is_what_stands_there(stack, scene.visitor)
        await nothing_besides(stack)
        await no_secret_is_told(stack)
        await canary(scene.visitor)

    return check


async def saved_is_what_stands_there(stack: Stack, visitor: Visitor) -> None:
    """V5: each head is whole in the store; an idle session's tree is the head, file by file."""
    for session in visitor.sessions:
        for row in await stack.fetch(_IDLE, session):
            key, sha256 = row["manifest_key"], row["manifest_sha256"]
            manifest = await asyncio.to_thread(read_manifest, stack, key, sha256)
            try:
                place = await _workspace(stack, str(row["worker_id"]))
                damage = await asyncio.to_thread(differences, manifest, place)
            except FileNotFoundError as gone:
                damage = [(b"", f"its container is gone: {gone}")]
            wrong = [one for one in damage if not _of_file_system(one)]
            assert not (wrong and await stack.fetch(_IDLE, session)), f"V5: {session}: {wrong[:5]}"


async def _workspace(stack: Stack, worker: str) -> Path:
    """As this host sees it."""
    for container in await stack.own_sessions():
        if (await workers_of(stack)).get(str(container.name)) == worker:
            state = (await stack.engine.inspect(container))["State"]
            return Path(f"/proc/{state['Pid']}/root/workspace")
    raise FileNotFoundError(f"worker {worker} has no container")


def _of_file_system(damage: Damage) -> bool:
    return damage[0] == NOT_CONTENT


async def nothing_besides(stack: Stack) -> None:
    """V7: what the engine and the kernel have of sessions is what the database says."""

    async def tidy() -> bool:
        left[:] = await besides_workers(stack)
        return not left

    left: list[str] = []
    try:
        await eventually(tidy, "V7: something is left over", within=TIDY_WITHIN)
    except AssertionError as error:
        raise AssertionError(f"{error}: {left}") from error
    assert not (held := await stack.fetch(_OPEN)), f"V7: transactions left open: {held}"


async def no_secret_is_told(stack: Stack) -> None:
    """V12: by no container of this deployment, whatever it printed."""
    secrets = await deployment_secrets(stack)
    ours = await stack.engine.containers(f"{PROJECT_LABEL}={stack.project}")
    for container in [*ours, *await stack.own_sessions()]:
        told = held_by(secrets, await stack.engine.logs(container))
        assert not told, f"V12: {container.name} printed {told}"
