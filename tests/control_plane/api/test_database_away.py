"""Connections that are cut: told as a missing dependency, never as an unexpected error."""

import asyncpg
import pytest

from control_plane.preflight import database
from control_plane.routes.errors import told
from tests.fixtures.control_plane import Caller, Plane
from tests.fixtures.postgres import PostgresServer


async def test_connections__cut_while_idle_cost_a_503_at_most(
    plane: Plane, member: Caller, postgres_server: PostgresServer, database_name: str
) -> None:
    assert (await member.http.get("/api/v1/sessions")).status_code == 200
    async with postgres_server.administrator() as administrator:
        await administrator.execute(
            "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
            " WHERE datname = $1 AND application_name = 'berth-control-plane'",
            database_name,
        )
    answers = [await member.http.get("/api/v1/sessions") for _ in range(15)]
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert answers[-1].status_code == 200
    for answer in answers:
        if answer.status_code == 503:
            assert answer.json()["details"]["missing"][0]["what"] == "database"
            assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (asyncpg.InterfaceError("the pool is closed"), "dependency_unavailable"),
        (asyncpg.CannotConnectNowError("starting"), "dependency_unavailable"),
        (asyncpg.AdminShutdownError("stopping"), "dependency_unavailable"),
        (asyncpg.TooManyConnectionsError("full"), "dependency_unavailable"),
        (asyncpg.LockNotAvailableError("busy"), "dependency_unavailable"),
        (asyncpg.QueryCanceledError("slow"), "dependency_unavailable"),
        (ConnectionRefusedError(), "dependency_unavailable"),
        (TimeoutError(), "dependency_unavailable"),
        (asyncpg.UntranslatableCharacterError("nul"), "validation_failed"),
    ],
)
def test_error__of_the_database_has_its_code(error: Exception, code: str) -> None:
    assert getattr(told(error), "code", None) == code


def test_error__that_is_ours_stays_unexpected() -> None:
    error = asyncpg.UniqueViolationError("a bug")
    assert told(error) is error


async def test_drivers_own_error__is_told_as_a_lost_connection(database_url: str) -> None:
    """asyncpg raises it, outside its family of errors, for a connection cut a moment ago."""
    async with database(database_url) as opened:
        with pytest.raises(asyncpg.InterfaceError):
            async with opened.reading():
                raise asyncpg.InternalClientError("cannot switch to state 12")
        with pytest.raises(asyncpg.InterfaceError):
            async with opened.unit():
                raise asyncpg.InternalClientError("cannot switch to state 12")
