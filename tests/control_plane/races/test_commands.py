"""Commands are forgotten once nobody asks for them any more."""

from control_plane.services import managers
from tests.fixtures.office import Office


async def kinds(office: Office) -> list[str]:
    return [row["type"] for row in await office.fetch("SELECT type FROM commands ORDER BY type")]


async def fill(office: Office, kind: str, number: int) -> None:
    """Commands of the only worker, as many as said; `start` there is already."""
    await office.execute(
        "INSERT INTO commands (id, project_id, session_id, worker_id, type, payload)"
        " SELECT gen_random_uuid(), project_id, session_id, id, $1, '{}'"
        " FROM session_workers, generate_series(1, $2::int)",
        kind,
        number,
    )


async def done(office: Office, *, minutes: int) -> None:
    """All of them, so long ago."""
    await office.execute("UPDATE commands SET done_at = now() - make_interval(mins => $1)", minutes)


async def test_forget_commands__done_for_long_but_no_start(office: Office) -> None:
    session, host = await office.session(), await office.host()
    await office.send(session)
    berth = await office.claim(host)
    await fill(office, "interrupt", 1)
    assert await office.managers.forget_commands() == 0, "they are open"
    await done(office, minutes=59)
    assert await office.managers.forget_commands() == 0, "its grace is not over"
    await done(office, minutes=61)
    assert await office.managers.forget_commands() == 1
    assert await kinds(office) == ["start"]
    await office.heartbeat(host, berth, idle_seconds=3600)
    assert await office.state(berth.run_id) == "queued", "that it was forgotten is still seen"


async def test_forget_commands__all_of_a_worker_removed_long_ago(office: Office) -> None:
    session, host = await office.session(), await office.host()
    await office.send(session)
    await office.claim(host)
    for minutes, left in ((59, ["interrupt", "start"]), (61, [])):
        await office.execute("DELETE FROM commands WHERE type = 'interrupt'")
        await fill(office, "interrupt", 1)
        await office.execute(
            "UPDATE session_workers SET removed_at = now() - make_interval(mins => $1)", minutes
        )
        await office.managers.forget_commands()
        assert await kinds(office) == left


async def test_forget_commands__one_pass_takes_every_batch(office: Office) -> None:
    session, host = await office.session(), await office.host()
    await office.send(session)
    await office.claim(host)
    await fill(office, "stop", 2 * managers.FORGOTTEN_AT_ONCE + 1)
    await done(office, minutes=120)
    assert await office.managers.forget_commands() == 2 * managers.FORGOTTEN_AT_ONCE + 1
    assert await kinds(office) == ["start"]
