"""An upgrade of a database that was in use: what is kept stays, and means what it meant."""

from collections.abc import AsyncGenerator
from uuid import UUID

import asyncpg
import pytest

import sql.migrate

BEFORE = "0005_tools"
"""The schema of the release before administrators, limits, egress and git."""


def named(number: int) -> UUID:
    return UUID(int=number)


ADMIN, MEMBER, PROJECT, APP, MANAGER = (named(n) for n in range(1, 6))
LIVE, IDLE = named(10), named(20)
"""Sessions. Of each: its run + 1, its worker + 2, a worker that ended + 3."""

FILL: list[tuple[str, tuple[object, ...]]] = [
    ("INSERT INTO users (id, name) VALUES ($1, 'admin'), ($2, 'member')", (ADMIN, MEMBER)),
    ("INSERT INTO projects (id, name) VALUES ($1, 'default')", (PROJECT,)),
    (
        """
        INSERT INTO audit (id, project_id, action, target, detail) VALUES
          (gen_random_uuid(), $1, 'key.create', 'k',
           jsonb_build_object('by', 'bootstrap', 'user_id', $2::text)),
          (gen_random_uuid(), $1, 'key.create', 'k', jsonb_build_object('user_id', $3::text)),
          (gen_random_uuid(), $1, 'session.delete', 'not a user', '{}')
        """,
        (PROJECT, str(ADMIN), str(MEMBER)),
    ),
    (
        "INSERT INTO apps (id, project_id, name, agent) VALUES ($2, $1, 'app', 'scripted')",
        (PROJECT, APP),
    ),
    (
        """
        INSERT INTO managers (id, name, backend, max_workers, draining)
        VALUES ($1, 'host', 'process', 4, true)
        """,
        (MANAGER,),
    ),
]


async def fill_session(connection: asyncpg.Connection, session: UUID, state: str) -> None:
    run = named(session.int + 1)
    await connection.execute(
        "INSERT INTO streams (id, kind, project_id) VALUES ($1, 'session', $2)", session, PROJECT
    )
    await connection.execute(
        "INSERT INTO sessions (id, project_id, agent, app_id, created_by)"
        " VALUES ($1, $2, 'scripted', $3, $4)",
        session, PROJECT, APP, MEMBER,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO runs (id, project_id, session_id, agent, state, line_no, finished_at)"
        " VALUES ($1, $2, $3, 'scripted', $4::text::run_state, 1,"
        "         CASE $4 WHEN 'succeeded' THEN now() END)",
        run, PROJECT, session, state,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO run_payloads (run_id, project_id, prompt, options, created_by)"
        " VALUES ($1, $2, 'hello', '{}', $3)",
        run, PROJECT, MEMBER,
    )  # fmt: skip
    for more, epoch in ((2, 2), (3, 1)):
        await connection.execute(
            "INSERT INTO session_workers (id, project_id, session_id, epoch, manager_id,"
            " token_hash, lease_until, released_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, now(), CASE WHEN $4::bigint = 1 THEN now() END)",
            named(session.int + more), PROJECT, session, epoch, MANAGER, f"{session}{epoch}",
        )  # fmt: skip


@pytest.fixture
async def filled(empty_database_url: str) -> AsyncGenerator[asyncpg.Connection]:
    await sql.migrate.upgrade(empty_database_url, revision=BEFORE)
    connection = await asyncpg.connect(empty_database_url)
    for statement, arguments in FILL:
        await connection.execute(statement, *arguments)
    await fill_session(connection, LIVE, "running")
    await fill_session(connection, IDLE, "succeeded")
    await sql.migrate.upgrade(empty_database_url)
    yield connection
    await connection.close()


async def test_upgrade__of_what_was_in_use(filled: asyncpg.Connection) -> None:
    who = await filled.fetch("SELECT id FROM users WHERE administrator")
    assert [row["id"] for row in who] == [ADMIN], "whoever was made at the bootstrap"
    policies = await filled.fetch(
        "SELECT egress::text, '' AS container FROM projects"
        " UNION ALL SELECT egress::text, container::text FROM apps"
    )
    assert [tuple(row) for row in policies] == [("{}", ""), ("{}", "{}")], "nothing was said"
    (manager,) = await filled.fetch("SELECT * FROM managers")
    kept = {name: manager[name] for name in ("max_workers", "draining", "version")}
    assert kept == {"max_workers": 4, "draining": True, "version": 1}
    wanted = [manager[f"wanted_{name}"] for name in ("workers", "warm", "draining")]
    assert wanted == [None, None, False]
    limits = await filled.fetch("SELECT * FROM default_limits ORDER BY subject")
    assert [tuple(row) for row in limits] == [
        ("project", None, None, None),
        ("user", None, None, None),
    ]


async def test_upgrade__counts_for_its_user_what_is_live(filled: asyncpg.Connection) -> None:
    """History is not written anew: only what a limit counts has an owner."""
    runs = await filled.fetch("SELECT id, user_id FROM runs ORDER BY id")
    assert [tuple(row) for row in runs] == [
        (named(LIVE.int + 1), MEMBER),
        (named(IDLE.int + 1), None),
    ]
    workers = await filled.fetch("SELECT id, user_id, disk, image FROM session_workers ORDER BY id")
    assert [tuple(row) for row in workers] == [
        (named(session.int + more), owner, None, "")
        for session in (LIVE, IDLE)
        for more, owner in ((2, MEMBER), (3, None))
    ]


async def test_upgrade__leaves_room_for_services_of_the_version_before(
    filled: asyncpg.Connection,
) -> None:
    """They go on while others are replaced, and know of no new column."""
    for statement, arguments in FILL[:2]:
        fresh = tuple(named(100 + n) for n in range(len(arguments)))
        await filled.execute(statement.replace("'default'", "'second'"), *fresh)
    await fill_session(filled, named(30), "queued")
    owner = await filled.fetchval("SELECT user_id FROM runs WHERE id = $1", named(31))
    assert owner is None, "counted for no user"
