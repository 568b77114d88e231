"""What strikes all agents at once: each is led to a moment, it strikes, then each is looked at.

One restart, one lost host for all of them: it is what takes the time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from docker.models.containers import Container

from contracts.human_loop import Reply
from tests.agents.acts import Say, Shell, Write, numbered
from tests.agents.model import Asked
from tests.agents.talk import Talk, asks, labels, nonce
from tests.agents.upstreams import OTHER
from tests.conformance.checks_permission import EFFECT, asking
from tests.conformance.trial import Bench, Trial
from tests.e2e.engine import Engine, threaded
from tests.e2e.hosts import Hosts
from tests.e2e.snapshots import head, snapshot
from tests.fixtures.deadlines import eventually
from tests.system.visitor import Shadow
from tests.system.voyages import told

OVER = 150.0
TREE = """
import hashlib, os, sys
for folder, folders, files in os.walk("/workspace"):
    folders[:] = sorted(one for one in folders if one != ".berth")
    for name in sorted(files):
        path = os.path.join(folder, name)
        digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
        print(path, oct(os.stat(path).st_mode), digest)
"""


@dataclass
class Led:
    """Where a trial stands when it strikes."""

    talk: Talk
    shadow: Shadow
    words: dict[str, str] = field(default_factory=dict[str, str])
    tree: str = ""


Lead = Callable[[Trial], Awaitable[Led]]
Strike = Callable[[Bench], Awaitable[None]]
Look = Callable[[Trial, Led], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Joint:
    lead: Lead
    strike: Strike
    looks: dict[str, Look]
    """By the name of the check; one after the other, in this order."""


# --- a permission that waits -----------------------------------------------------------------


async def lead_to_asking(trial: Trial) -> Led:
    talk, word = trial.talk(), nonce()
    shadow, request = await asking(trial, talk, word, insists=True)
    return Led(talk, shadow, {"word": word, "request": request})


async def nothing(_bench: Bench) -> None:
    """The time alone: the run is parked, its worker let go."""


async def answered_late(trial: Trial, led: Led) -> None:
    """Parked: the engine has no container of it any more. The answer takes it up again."""
    await led.shadow.kind("run.parked", within=OVER)
    session = led.talk.session

    async def gone() -> bool:
        return not await trial.engine.sessions(session, alive=True)

    await eventually(gone, "a parked run keeps its container", within=OVER)
    await answered(trial, led)


async def answered(trial: Trial, led: Led) -> None:
    request = UUID(led.words["request"])
    assert EFFECT not in (await _saved_files(trial, led.talk)), "done before its approval"
    await led.talk.reply(request, Reply(decision="allow"))
    await led.talk.succeeded(led.shadow, within=OVER)
    effects = (await trial.saved(led.talk)).lines(EFFECT)
    assert effects, "allowed, and never done"
    assert set(effects) == {led.words["word"]}, effects
    assert len(effects) <= asks(led.shadow.seen), "done more often than it was allowed"


async def _saved_files(trial: Trial, talk: Talk) -> dict[str, bytes]:
    assert talk.session is not None
    found = await head(trial.bench.stack, talk.session)
    return found.files if found else {}


async def restart_everything(bench: Bench) -> None:
    """Every service and every session's container, without a warning."""
    stack = bench.stack
    await stack.compose("kill")
    for container in await stack.own_sessions():
        if container.status == "running":
            await stack.engine.kill9(container)
    await stack.compose("up", "-d", "--wait", within=240)
    await stack.open_store()


LATE = Joint(lead=lead_to_asking, strike=nothing, looks={"permission answered late": answered_late})
RESTART = Joint(
    lead=lead_to_asking,
    strike=restart_everything,
    looks={"permission after a restart of everything": answered},
)


# --- a host that is lost ---------------------------------------------------------------------


MOVED = (
    "native resume on another manager", "model after resume", "mode after resume",
    "rebuilt without its state",
)  # fmt: skip


class Moving:
    """Killed in the middle of a turn, its container and its volume deleted: another manager, on
    another engine, goes on with it.
    """

    def __init__(self, hosts: Hosts) -> None:
        self.hosts = hosts
        self.there = hosts.found["ha"]

    @property
    def engine(self) -> Engine:
        return self.there.engine

    def joint(self) -> Joint:
        looks = (self.native, self.model, self.mode, self.rebuilt)
        named: dict[str, Look] = dict(zip(MOVED, looks, strict=True))
        return Joint(lead=self.lead, strike=self.strike, looks=named)

    async def lead(self, trial: Trial) -> Led:
        first, second = nonce(), nonce()
        talk = trial.talk(mode="free", **({"model": OTHER} if trial.dialect.reads_model else {}))
        await talk.done(
            Write(path="first.txt", content=f"{first}\n"), Say(text=f"I wrote {first}.")
        )
        shadow = await talk.send(
            Write(path="second.txt", content=f"{second}\n"),
            Shell(command="true", ask=False, said="Half of it is done."),
            numbered(150, delay=0.15),
            said=f"Now this, {second}.",
        )
        async with talk.allowing(shadow):
            await shadow.until(lambda seen: "#2;" in told(seen), within=90)
            await self._kept(trial, talk)
        led = Led(talk, shadow, {"first": first, "second": second})
        led.tree = await _tree(trial.engine, await trial.container(talk))
        assert "second.txt" in led.tree
        return led

    async def _kept(self, trial: Trial, talk: Talk) -> None:
        """A checkpoint of this run is committed, with what it has written."""

        async def kept() -> bool:
            rows = await trial.bench.stack.fetch(
                "SELECT id FROM snapshots WHERE session_id = $1 AND type = 'checkpoint'"
                " ORDER BY created_at DESC LIMIT 1",
                talk.session,
            )
            saved = [await snapshot(trial.bench.stack, row["id"]) for row in rows]
            return any("second.txt" in one.files for one in saved)

        await eventually(kept, "nothing is saved in the middle of the turn", within=60)

    async def strike(self, bench: Bench) -> None:
        """The manager, its relay and helper, all containers, and every volume of theirs."""
        stack = bench.stack
        await stack.learn_managers()
        services = ("executor-manager", "relay", "volumes")
        await stack.compose("kill", *services)
        for container in await stack.own_sessions():
            await threaded(container.remove, force=True, v=True)
        await stack.compose("rm", "-f", "-s", "-v", *services)
        for name in ("manager-state", "sockets"):
            volume = stack.engine.client.volumes.get(f"{stack.project}_{name}")
            await threaded(volume.remove, force=True)
        port, *_ = await stack.published("control-plane", 8010)
        await self.there.serve(stack, port=port)

    async def native(self, trial: Trial, led: Led) -> None:
        run = await led.talk.succeeded(led.shadow, within=OVER)
        assert run.attempt == 2, run
        assert labels(led.shadow.seen)[-1] == "native", labels(led.shadow.seen)
        container = await self._container(led)
        tree = await _tree(self.engine, container)
        assert tree == led.tree, f"the tree was\n{led.tree}\nand is\n{tree}"
        if trial.dialect.reads_model:
            last = _last(trial.asked(led.words["second"]))
            assert led.words["first"] in last.said_by("assistant"), "the earlier turn is missing"

    async def model(self, trial: Trial, led: Led) -> None:
        """Which one was asked, by the model itself."""
        word = nonce()
        await led.talk.done(Say(text="Still here."), said=f"Are you there, {word}?")
        assert {one.model for one in trial.asked(word)} == {OTHER}

    async def mode(self, trial: Trial, led: Led) -> None:
        """In the mode that never asks it does not; the effect is there."""
        word = nonce()
        shadow = await led.talk.done(
            Shell(command=f"echo {word} > free.txt", ask=False), Say(text="Done.")
        )
        assert asks(shadow.seen) == 0, "it asked in a mode that never asks"
        assert labels(shadow.seen) == ["native"]
        assert (await trial.saved(led.talk)).lines("free.txt") == [word]

    async def rebuilt(self, trial: Trial, led: Led) -> None:
        """Its own state is gone from the saved tree: it is told the past, and we say so."""
        word, session = nonce(), led.talk.session
        assert session is not None
        gone = f"/workspace/.berth/agents/{trial.name}"
        container = await self._container(led)
        done = await self.engine.run(container, "sh", "-c", f"rm -rf {gone}/.[a-z]*; ls -A {gone}")
        assert done.output.strip() == "", done.output
        await trial.bench.api.stop_worker(session)
        shadow = await led.talk.done(Say(text=f"I know of it, {word}."), said=f"Recall, {word}.")
        assert labels(shadow.seen) == ["rebuilt"], labels(shadow.seen)
        if trial.dialect.reads_model:
            asked = trial.asked(word)
            assert any(led.words["first"] in one.text for one in asked), "the past is not told"

    async def _container(self, led: Led) -> Container:
        assert led.talk.session is not None
        return await self.engine.session(led.talk.session)


def _last(asked: list[Asked]) -> Asked:
    found = [one for one in asked if one.step >= 0]
    assert found, "the model was not asked"
    return found[-1]


async def _tree(engine: Engine, container: Container) -> str:
    done = await engine.run(container, "python3", "-c", TREE)
    assert done.code == 0, done.output
    return done.output


async def lead_all(trials: list[Trial], lead: Lead) -> list[Led | BaseException]:
    found: list[Any] = await asyncio.gather(*(lead(one) for one in trials), return_exceptions=True)
    return found
