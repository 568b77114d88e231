"""Where nothing runs, or nothing can: messages that say what to do."""

import asyncio
from pathlib import Path

import pytest

from chassis.store.check import FULL
from cli.exits import Exit
from tests.fixtures.bad_store import bad_store
from tests.fixtures.commands import berth
from tests.fixtures.object_store import StoreServer


def test_ls__nothing_runs(home: Path) -> None:
    done = berth(home, "ls")
    assert done.code == Exit.UNREACHABLE
    assert "berth up" in done.err
    assert done.out == ""


def test_ls__nobody_answers(home: Path) -> None:
    done = berth(home, "ls", BERTH_URL="http://127.0.0.1:9", BERTH_KEY="bk_nobody")
    assert done.code == Exit.UNREACHABLE
    assert "http://127.0.0.1:9 cannot be reached" in done.err


def test_ls__url_without_a_key(home: Path) -> None:
    done = berth(home, "ls", BERTH_URL="http://127.0.0.1:9")
    assert done.code == Exit.UNREACHABLE
    assert "BERTH_KEY" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("egress", "show"),
        ("egress", "set", "none"),
        ("git", "ls"),
        ("git", "set", "github.com"),
        ("workers", "ls", "--managers"),
        ("workers", "scale", "host", "--warm", "1"),
        ("limits", "show"),
        ("limits", "set", "--default", "users", "--max-workers", "1"),
    ],
)
def test_newer_commands__nothing_runs(home: Path, arguments: tuple[str, ...]) -> None:
    """Nobody is asked for a secret that has no place to go."""
    done = berth(home, *arguments)
    assert (done.code, done.out) == (Exit.UNREACHABLE, "")
    assert "berth up" in done.err
    assert "Traceback" not in done.err


def test_up__home_is_a_file(home: Path) -> None:
    home.write_text("")
    done = berth(home, "up")
    assert done.code == Exit.USAGE
    assert "BERTH_HOME" in done.err


def test_doctor__nothing_runs(home: Path) -> None:
    done = berth(home, "doctor", "--json")
    found = {finding["what"]: finding["verdict"] for finding in done.json()}
    assert done.code == Exit.OK
    assert found["stack"] == "note"
    assert found["agent scripted"] == "ok"
    assert "isolation" in found


def store_settings(**changes: str) -> dict[str, str]:
    values = {"bucket": "berth", "access_key": "key", "secret_key": "a-secret"} | changes
    return {f"BERTH_OBJECT_STORE_{name.upper()}": value for name, value in values.items()}


async def test_doctor__the_embedded_store_is_fit(
    home: Path, object_store_server: StoreServer
) -> None:
    store = object_store_server
    secret = home.parent / "secret"
    secret.write_text(store.secret_key)
    done = await asyncio.to_thread(
        berth,
        home,
        *("doctor", "--s3", "--endpoint", store.endpoint, "--bucket", store.bucket),
        *("--access-key", store.access_key),
        BERTH_OBJECT_STORE_SECRET_KEY_FILE=str(secret),
    )
    assert (done.code, done.err) == (Exit.OK, "")
    assert done.lines() == [f"PASS {probe.name}" for probe in FULL]


async def test_doctor__a_store_that_accepts_anything_is_not(home: Path) -> None:
    async with bad_store() as url:
        environment = store_settings(url=url)
        done = await asyncio.to_thread(berth, home, "doctor", "--s3", "--json", **environment)
    found = {one["check"]: one for one in done.json()}
    assert done.code == Exit.DEPENDENCY_MISSING
    assert set(found) == {probe.name for probe in FULL}
    assert found["presigned_put"]["passed"]
    assert not found["wrong_md5"]["passed"]
    assert found["wrong_md5"]["reason"]
    assert found["wrong_md5"]["remedy"]
    assert "a-secret" not in done.out + done.err


def test_doctor__no_store_answers(home: Path) -> None:
    done = berth(home, "doctor", "--s3", **store_settings(url="http://127.0.0.1:9"))
    assert done.code == Exit.UNREACHABLE
    assert "http://127.0.0.1:9" in done.err


def test_doctor__the_store_is_not_said(home: Path) -> None:
    done = berth(home, "doctor", "--s3", "--bucket", "berth")
    assert done.code == Exit.USAGE
    assert "BERTH_OBJECT_STORE_URL is not set" in done.err
    assert "BERTH_OBJECT_STORE_SECRET_KEY_FILE" in done.err
    assert berth(home, "doctor", "--bucket", "berth").code == Exit.USAGE
