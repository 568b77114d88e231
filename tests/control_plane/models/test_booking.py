"""A call is booked once, whoever dies, comes late or comes second."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from chassis.failpoints import arm, disarm_all
from control_plane.app import build_app
from control_plane.domain.model_usage import Usage
from control_plane.services.model_calls import ModelCalls
from control_plane.settings import Settings
from control_plane.store import model_calls as store
from control_plane.store.model_calls import Closing
from tests.control_plane.models.caller import Worker, until
from tests.control_plane.models.spoilt import SpoiltProvider
from tests.fixtures.barriers import Barrier
from tests.fixtures.control_plane import Plane
from tests.fixtures.guards import both, perhaps_without
from tests.fixtures.processes import met
from tests.fixtures.scripted_model import ScriptedModel, request_of, script
from tests.fixtures.serving import serving

both_ways = pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "unguarded"])

METERED = Closing(
    state="completed",
    status=200,
    source="metered",
    usage=Usage(input_tokens=1, output_tokens=2, cached_tokens=3, thought_tokens=1),
    provider_id="msg_1",
)


@pytest.fixture(autouse=True)
def failpoints() -> Generator[None]:
    yield
    disarm_all()


def calls_of(plane: Plane) -> ModelCalls:
    return plane.app.services.model_calls


async def left_open(worker: Worker, *, count: int = 1, overdue: bool = True) -> list[Any]:
    """Calls as a control plane leaves them that died."""
    return [
        row["id"]
        for row in await worker.plane.connection.fetch(
            "INSERT INTO model_calls (id, project_id, session_id, run_id, attempt, upstream, path,"
            " model, input_tokens, deadline) SELECT gen_random_uuid(), project_id, session_id, id,"
            " attempt, 'scripted', '/v1/messages', 'm', 25, now() + $1::int * interval '1 minute'"
            " FROM runs, generate_series(1, $2) RETURNING id",
            -1 if overdue else 1,
            count,
        )
    ]


def without(name: str, guard: str, rest: str = "") -> Any:
    """Takes a guard out of a query; it must be there."""

    def remove(patch: pytest.MonkeyPatch) -> None:
        queries = dict(store.QUERIES)
        assert guard in queries[name]
        queries[name] = queries[name].replace(guard, rest)
        patch.setattr(store, "QUERIES", MappingProxyType(queries))

    return remove


async def test_overdue__is_booked_as_cut_with_its_estimate(worker: Worker) -> None:
    await left_open(worker)
    (young,) = await left_open(worker, overdue=False)
    assert await calls_of(worker.plane).close_overdue() == 1
    assert await calls_of(worker.plane).close_overdue() == 0
    (cut,) = await worker.calls(state="cut")
    assert (cut["source"], cut["status"], cut["input_tokens"]) == ("estimated", None, 25)
    assert [call["id"] for call in await worker.calls(state="open")] == [str(young)]


async def test_overdue__many_in_one_pass(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control_plane.services.model_calls.AT_ONCE", 3)
    await left_open(worker, count=8)
    assert await calls_of(worker.plane).close_overdue() == 8


@both_ways
async def test_overdue__by_two_loops_at_once(worker: Worker, *, guarded: bool) -> None:
    """The first holds the rows; the second passes them over and books nothing a second time."""
    await left_open(worker, count=5)
    await worker.plane.connection.execute(
        "CREATE TABLE closings AS SELECT id FROM model_calls WHERE false;"
        "CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO closings VALUES (new.id); RETURN new; END $$;"
        "CREATE TRIGGER told AFTER UPDATE ON model_calls FOR EACH ROW EXECUTE FUNCTION told()"
    )
    unguarded = both(
        without("close_overdue", "state = 'open' AND id = ANY", "id = ANY"),
        without("close_overdue", "FOR UPDATE SKIP LOCKED"),
    )
    try:
        with perhaps_without(unguarded, guarded=guarded):
            barrier = Barrier()
            arm("model_calls.overdue", barrier.action)
            first = asyncio.create_task(calls_of(worker.plane).close_overdue())
            await barrier.reached()
            disarm_all()
            second = asyncio.create_task(calls_of(worker.plane).close_overdue())

            async def passed_or_waits() -> bool:
                return second.done() or await worker.plane.connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database()"
                )

            await until(passed_or_waits, "the second has come to the rows")
            barrier.release()
            assert sorted([await first, await second]) == ([0, 5] if guarded else [5, 5])
        told = await worker.plane.connection.fetchval("SELECT count(*) FROM closings")
        assert told == (5 if guarded else 10)
    finally:
        await worker.plane.connection.execute(
            "DROP TRIGGER told ON model_calls; DROP FUNCTION told; DROP TABLE closings"
        )


@both_ways
async def test_close__after_the_loop_had_closed_it(worker: Worker, *, guarded: bool) -> None:
    """A control plane that was only slow changes nothing any more."""
    (call_id,) = await left_open(worker)
    await calls_of(worker.plane).close_overdue()
    with perhaps_without(without("close", " AND state = 'open'"), guarded=guarded):
        await calls_of(worker.plane).close(call_id, METERED)
    (call,) = await worker.calls()
    assert (call["state"] == "cut") is guarded


async def test_close__twice_counts_once(worker: Worker) -> None:
    (call_id,) = await left_open(worker, overdue=False)
    await calls_of(worker.plane).close(call_id, METERED)
    worse = msgspec.structs.replace(METERED.usage, output_tokens=99)
    await calls_of(worker.plane).close(
        call_id, Closing(state="cut", status=None, source="estimated", usage=worse, provider_id="")
    )
    (call,) = await worker.calls()
    assert (call["state"], call["output_tokens"]) == ("completed", 2)


async def test_close__waits_for_a_database_that_is_away(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer's end is not held up for longer than its patience; the numbers come later."""
    monkeypatch.setattr("control_plane.services.model_calls.PATIENCE", 0.1)
    monkeypatch.setattr("control_plane.services.model_calls.PAUSE", 0.1)
    monkeypatch.setattr("control_plane.services.model_calls.TRIES", 600)
    tried, back = 0, asyncio.Event()
    close = store.close

    async def away(*arguments: Any) -> bool:
        nonlocal tried
        tried += 1
        if tried < 5 or not back.is_set():
            raise asyncpg.CannotConnectNowError("the database system is starting up")
        return await close(*arguments)

    monkeypatch.setattr(store, "close", away)
    answer = await worker.ask("/v1/messages", script({"text": "Yes.", "usage": [9, 8, 7]}))
    assert answer.status_code == 200
    assert [call["state"] for call in await worker.calls()] == ["open"]
    back.set()
    (call,) = await worker.booked("completed")
    assert (call["input_tokens"], call["source"]) == (9, "metered")
    assert tried >= 5


async def test_open__without_a_database_asks_nobody(
    worker: Worker, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise asyncpg.CannotConnectNowError("the database system is starting up")

    before = len(model.log())
    with monkeypatch.context() as patch:
        patch.setattr(store, "insert", away)
        answer = await worker.ask("/v1/messages")
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "api_error"
    assert len(model.log()) == before


async def test_left__before_the_provider_was_asked(worker: Worker, model: ScriptedModel) -> None:
    """The booking stands already; it is closed, and costs nothing."""
    before = len(model.log())
    barrier = Barrier()
    arm("model_calls.opened", barrier.action)
    asking = asyncio.create_task(worker.ask("/v1/messages"))
    await barrier.reached()
    disarm_all()
    assert [call["state"] for call in await worker.calls()] == ["open"]
    asking.cancel()
    (call,) = await worker.booked("refused")
    assert (call["input_tokens"], call["status"], call["source"]) == (0, None, None)
    assert len(model.log()) == before


async def test_connection__of_the_database_is_held_by_no_call(
    worker: Worker, spoilt: SpoiltProvider
) -> None:
    """More calls under way than the pool has connections."""
    size = worker.plane.app._settings.pool_size
    await worker.lead(f"{spoilt.url}/waits")
    asked = [asyncio.create_task(worker.ask("/v1/messages")) for _ in range(size + 8)]

    async def all_under_way() -> bool:
        return len(spoilt.seen) == size + 8

    await until(all_under_way, "all are under way")
    assert (await worker.owner.http.get("/api/v1/sessions")).status_code == 200
    assert not any(one.done() for one in asked)
    spoilt.go.set()
    answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} == {200}
    await worker.booked("completed", count=size + 8)


@contextmanager
def own_process(settings: Settings, log: Path) -> Generator[subprocess.Popen[bytes]]:
    """A control plane that may be killed."""
    names = [field.name for field in msgspec.structs.fields(Settings) if field.required]
    environ = {f"BERTH_{name.upper()}": str(getattr(settings, name)) for name in names}
    environ |= {
        "BERTH_MODEL_HOSTS": ",".join(settings.model_hosts),
        "BERTH_SECRET_KEY": settings.secret_key or "",
        "BERTH_PORT": "0",
        "BERTH_LOOPS": "false",
    }
    with (
        log.open("wb") as said,
        subprocess.Popen([sys.executable, "-m", "control_plane"], env=environ, stderr=said) as one,
    ):
        try:
            yield one
        finally:
            one.kill()


async def address_in(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Once it serves."""
    await met(lambda: _address(log, process), "it serves", 90)
    return _address(log, process)


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    for line in log.read_text().splitlines():
        if line.endswith("}") and (told := json.loads(line))["event"] == "serving":
            return f"http://{told['address']}"
    assert process.poll() is None, log.read_text()
    return ""


async def test_kill_9__in_the_middle_is_booked_once_by_the_loop(
    worker: Worker, model: ScriptedModel, tmp_path: Path
) -> None:
    body = request_of("/v1/messages", script({"text": "a b c", "delay": 30}), stream=True)
    path = f"/internal/v1/workers/{worker.id}/models/v1/messages"
    log = tmp_path / "log"
    with own_process(worker.plane.app._settings, log) as process:
        url = await address_in(log, process)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            headers = {"Authorization": worker.http.headers["authorization"]}
            with pytest.raises(httpx.RemoteProtocolError):  # noqa: PT012 # it breaks while it is read
                async with http.stream("POST", url + path, json=body, headers=headers) as answer:
                    async for part in answer.aiter_raw():
                        if b"message_start" in part:
                            process.send_signal(signal.SIGKILL)
    (call,) = await worker.calls()
    assert call["state"] == "open"
    assert await calls_of(worker.plane).close_overdue() == 0, "others may be at it"
    await worker.plane.connection.execute("UPDATE model_calls SET deadline = now()")
    assert await calls_of(worker.plane).close_overdue() == 1
    assert await calls_of(worker.plane).close_overdue() == 0
    (cut,) = await worker.calls()
    assert (cut["state"], cut["source"]) == ("cut", "estimated")
    assert cut["input_tokens"] == call["input_tokens"] > 0

    async def left() -> bool:
        return not model.open()

    await until(left, "the provider's connection is closed")


async def test_stop__cuts_what_outlasts_it_and_books_it(
    worker: Worker, model: ScriptedModel
) -> None:
    """Another replica on the same database."""
    settings = msgspec.structs.replace(worker.plane.app._settings, model_silence_seconds=60.0)
    app, stop = build_app(settings), asyncio.Event()
    body = request_of("/v1/messages", script({"text": "a b c", "delay": 30}), stream=True)
    path = f"/internal/v1/workers/{worker.id}/models/v1/messages"
    with pytest.raises(httpx.RemoteProtocolError):  # noqa: PT012 # it breaks while it is read
        async with (
            serving(app, on_stop=app.stop, stop=stop, graceful_seconds=1.0) as url,
            worker.http.stream("POST", url + path, json=body) as answer,
        ):
            async for part in answer.aiter_raw():
                if b"message_start" in part:
                    stop.set()
    (call,) = await worker.calls()
    assert (call["state"], call["source"]) == ("cut", "estimated")

    async def left() -> bool:
        return not model.open()

    await until(left, "the provider's connection is closed")


async def test_deadline__ends_what_never_ends(worker: Worker, spoilt: SpoiltProvider) -> None:
    """A provider that is never silent and never done; another replica with less patience."""
    await worker.lead(f"{spoilt.url}/drips")
    settings = msgspec.structs.replace(worker.plane.app._settings, model_call_seconds=5.0)
    app = build_app(settings)
    path = f"/internal/v1/workers/{worker.id}/models/v1/messages"
    async with serving(app, on_stop=app.stop) as url:
        with pytest.raises(httpx.RemoteProtocolError):
            await worker.http.post(url + path, json=request_of("/v1/messages", "x", stream=True))
        (call,) = await worker.booked("cut")
        assert (call["status"], call["source"]) == (200, "estimated")
        async with asyncio.timeout(30):
            await spoilt.closed.wait()
