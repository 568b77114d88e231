"""Black box: what is said, resumed and said twice; two sessions at once."""

import asyncio
import secrets

import httpx

from contracts.events import RunStarted, ToolResult, WorkspaceRestored
from contracts.runs import CreateRun, Run, RunOutput
from tests.e2e.cases import Case, Scene
from tests.e2e.client import AGENT, send_timed
from tests.fixtures.deadlines import eventually
from tests.system.visitor import Shadow, script
from tests.system.voyages import told

PIECES = 40
HELD: dict[str, object] = {"shell": "until [ -e go ]; do sleep 0.1; done"}
"""A run stays in its middle until `let_go`."""


def numbered(count: int, **options: object) -> dict[str, object]:
    text = "".join(f"#{number}; " for number in range(1, count + 1))
    return {"text": text, "chunks": count, **options}


async def let_go(scene: Scene, shadow: Shadow) -> None:
    place = f"/api/v1/session-workers/{scene.visitor.session_of(shadow)}/workspace/file"
    answer = await scene.api.raw("PUT", place, params={"path": "go"}, content=b"")
    assert answer.status_code == httpx.codes.CREATED, answer.text


def label(shadow: Shadow) -> str:
    started = [one.event for one in shadow.seen if isinstance(one.event, RunStarted)]
    return started[-1].resume


async def conversation(scene: Scene) -> None:
    """Streamed text, a plan, a file, a memory; the next message of the session knows of it."""
    nonce = secrets.token_hex(8)
    shadow, taken = await send_timed(
        scene.visitor,
        scene.api,
        script(
            {"plan": [{"content": "cast off", "status": "in_progress"}]},
            numbered(PIECES, delay=0.01),
            {"remember": {"key": "NONCE", "value": nonce}},
            {"write": {"path": "notes/log.md", "content": f"{nonce}\n"}},
        ),
    )
    scene.figures.add("activation", taken)
    first = await scene.visitor.succeeded(shadow)
    kinds = [one.kind for one in shadow.seen]
    order = ["run.queued", "run.claimed", "run.started", "message.delta", "run.finished"]
    assert sorted(order, key=kinds.index) == order, kinds
    assert {"todo.update", "tool.call", "tool.result", "workspace.saved"} <= set(kinds), kinds
    again = await scene.visitor.send("recall NONCE", session=first.session_id)
    await scene.visitor.succeeded(again)
    assert nonce in told(again.seen), told(again.seen)
    output = await scene.api.get(f"/api/v1/runs/{again.run_id}/output", RunOutput)
    assert nonce in output.text
    await replayed(scene, shadow)


async def replayed(scene: Scene, shadow: Shadow) -> None:
    """A reader from a cursor in the middle gets the rest, each event once."""
    middle = shadow.seen[len(shadow.seen) // 2]
    after = [one.entry.seq for one in shadow.seen if one.entry.seq > middle.entry.seq]
    later = Shadow(scene.api, shadow.run_id, last_id=middle.entry.id)
    try:
        await later.so_many(len(after))
        await later.closed()
        assert [one.entry.seq for one in later.seen] == after
    finally:
        await later.leave()


async def resumed(scene: Scene) -> None:
    """Stopped on request, everything saved; another worker goes on natively, file by file."""
    nonce = secrets.token_hex(8)
    shadow, taken = await send_timed(
        scene.visitor,
        scene.api,
        script(
            {"remember": {"key": "NONCE", "value": nonce}},
            {"shell": f"mkdir -p deep/er && echo {nonce} > deep/er/kept && ln -s er/kept deep/ln"},
        ),
    )
    scene.figures.add("activation", taken)
    session = (await scene.visitor.succeeded(shadow)).session_id
    former = await scene.api.worker(session)
    assert former is not None
    await scene.api.stop_worker(session)
    again, taken = await send_timed(
        scene.visitor,
        scene.api,
        script({"recall": "NONCE"}, {"shell": "cat deep/ln"}),
        session=session,
    )
    scene.figures.add("resume", taken)
    await scene.visitor.succeeded(again)
    assert label(again) == "native"
    assert nonce in told(again.seen)
    (read,) = [one.event for one in again.seen if isinstance(one.event, ToolResult)]
    assert read.output.strip() == nonce
    log = [entry.event for entry in await scene.api.log(f"/api/v1/sessions/{session}")]
    restored = [event for event in log if isinstance(event, WorkspaceRestored)]
    assert restored[-1].snapshot_id is not None
    later = await scene.api.worker(session)
    assert later is not None
    assert later.id != former.id
    assert later.epoch > former.epoch


async def two_at_once(scene: Scene) -> None:
    """Both are in the middle at the same moment; neither is told anything of the other."""
    names = [secrets.token_hex(8) for _ in range(2)]
    prompts = [
        script({"write": {"path": "mine", "content": name}}, numbered(100, delay=0.01), HELD)
        for name in names
    ]
    shadows = await asyncio.gather(*(scene.visitor.send(prompt) for prompt in prompts))
    for shadow in shadows:
        await shadow.until(lambda seen: "#5;" in told(seen))
    states = [(await scene.visitor.run(shadow)).state for shadow in shadows]
    assert states == ["running", "running"], states
    for shadow in shadows:
        await let_go(scene, shadow)
    await asyncio.gather(*(scene.visitor.succeeded(shadow) for shadow in shadows))
    for name, shadow in zip(names, shadows, strict=True):
        (other,) = set(names) - {name}
        lines = "".join(one.line for one in shadow.seen)
        assert name in lines
        assert other not in lines
        found = await scene.api.file(scene.visitor.session_of(shadow), "mine")
        assert found.text == name, found.text


async def in_line(scene: Scene) -> None:
    """A session's second message waits for the first one's end; a canceled third never runs."""
    first = await scene.visitor.send(script(numbered(30, delay=0.05), HELD))
    session = scene.visitor.session_of(first)
    await first.until(lambda seen: "#5;" in told(seen))
    second = await scene.visitor.send(script({"text": "second\n"}), session=session)
    third = await scene.visitor.send(script({"text": "third\n"}), session=session)
    await scene.api.post(f"/api/v1/runs/{third.run_id}/cancel", Run)
    assert await third.closed() == "canceled"
    await let_go(scene, first)
    runs = [await scene.visitor.succeeded(shadow) for shadow in (first, second)]
    ended, started = runs[0].finished_at, runs[1].started_at
    assert ended is not None
    assert started is not None
    assert ended <= started
    assert "run.started" not in [one.kind for one in third.seen]


async def said_twice(scene: Scene) -> None:
    """The same key and body: the same run; the same key and another body: refused."""
    key = {"Idempotency-Key": f"e2e-{secrets.token_hex(8)}"}
    body = CreateRun(text="remember A=1", agent=AGENT)
    first, again = [await scene.api.post("/api/v1/runs", Run, body, headers=key) for _ in range(2)]
    assert first.id == again.id
    shadow = scene.visitor.follow(first)
    other = CreateRun(text="remember A=2", agent=AGENT)
    answer = await scene.api.raw("POST", "/api/v1/runs", headers=key, json=_plain(other))
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")
    await scene.visitor.succeeded(shadow)


def _plain(body: CreateRun) -> dict[str, object]:
    return {"text": body.text, "agent": body.agent}


async def gone_away(scene: Scene) -> None:
    """A viewer who leaves stops nothing."""
    shadow = await scene.visitor.send(script(numbered(40, delay=0.05)))
    await shadow.until(lambda seen: "#3;" in told(seen))
    await shadow.leave()

    async def over() -> bool:
        return (await scene.visitor.run(shadow)).state == "succeeded"

    await eventually(over, "the run did not end")
    scene.visitor.follow(scene.visitor.runs[shadow.run_id])
    await scene.visitor.shadows[shadow.run_id].closed()


CONVERSATION = [
    Case(name="conversation", play=conversation),
    Case(name="resume: native in another worker", play=resumed),
    Case(name="two sessions at once", play=two_at_once),
    Case(name="messages stand in line", play=in_line),
    Case(name="the same message twice", play=said_twice),
    Case(name="a viewer leaves", play=gone_away),
]
