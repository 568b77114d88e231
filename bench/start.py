"""How soon a session's executor is there: warm, cold, twenty at once; again, unpaused.

Ours is what the manager does: `Startup` with the docker backend, as many at once as it does, a real
relay, and a control plane that grants the workers, until the executor says it is ready, on an empty
workspace. The peer is the standard library's HTTP server in the same image by a bare `docker run`
with a port on loopback, from its creation to the first 200; twenty at once, until the last of them
answers. Rounds take turns; ratios are of medians of one run. What the agent itself takes after
that, from its command to its opened session in the log, is `agent_ms`.

    python -m bench.start [rounds] [image]

Last line: JSON, times in milliseconds.
"""

import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.start_host import (
    Granted,
    granted,
    one_warm,
    own_host,
    paused,
    remove,
    until_agent_started,
    until_up,
)
from bench.start_peer import Peer
from executor_manager.services.workers import Stage
from executor_manager.settings import Settings
from executor_manager.wiring import Host
from tests.fixtures.stack import EmbeddedStack, embedded_stack

ROUNDS = 7
BURST = 20
BURST_ROUNDS = 7
ENGINE = "unix:///var/run/docker.sock"
IMAGE = "berth-executor:latest"
OWN = {
    # nobody but us takes workers, and nobody takes them from us
    "executor-manager": {"max_workers": "0"},
    "control-plane": {"lease_seconds": "300", "heartbeat_seconds": "5", "claim_batch": "50"},
}


@dataclass
class Times:
    """Seconds, by what was measured."""

    seen: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, seconds: float) -> None:
        self.seen.setdefault(what, []).append(seconds)

    def median_ms(self, what: str) -> float:
        return round(statistics.median(self.seen[what]) * 1000, 1)


@dataclass(frozen=True)
class Bench:
    stack: EmbeddedStack
    settings: Settings
    host: Host
    peer: Peer

    async def one_round(self, times: Times) -> None:
        times.add("peer", await asyncio.to_thread(self.peer.run))
        (cold,) = await granted(self.stack, self.host, 1)
        try:
            await self._timed("cold", [cold], times)
            await self._agent("cold", cold, times)
            await self._again(cold, times)
        finally:
            await remove(self.host, cold.worker)
        await one_warm(self.host)
        (warm,) = await granted(self.stack, self.host, 1)
        try:
            await self._timed("warm", [warm], times)
            assert self.host.startup.warm.ready == 0, "the warm container was not used"
            await self._agent("warm", warm, times)
        finally:
            await remove(self.host, warm.worker)

    async def burst(self, times: Times) -> None:
        times.add("peers20", await asyncio.to_thread(self.peer.run_at_once, BURST))
        many = await granted(self.stack, self.host, BURST)
        try:
            await self._timed("burst20", many, times)
        finally:
            for one in many:
                await remove(self.host, one.worker)

    async def _timed(self, what: str, these: list[Granted], times: Times) -> None:
        slots = asyncio.Semaphore(self.settings.activations_at_once)

        async def start(one: Granted) -> None:
            self.host.workers.add(one.worker)
            async with slots:
                await self.host.startup.activate(one.worker)
            self.host.workers.stage(one.worker, Stage.LIVE)

        begun = time.perf_counter()
        await asyncio.gather(*(start(one) for one in these))
        times.add(what, time.perf_counter() - begun)
        for one in these:
            await self.host.control_plane.report(one.worker, "ready")
        for step in these[0].worker.steps if len(these) == 1 else []:
            times.add(f"{what}.{step.step}", step.duration_ms / 1000)

    async def _agent(self, what: str, one: Granted, times: Times) -> None:
        begun = time.perf_counter()
        await until_agent_started(self.stack, self.host, one)
        times.add(f"{what}.agent", time.perf_counter() - begun)

    async def _again(self, one: Granted, times: Times) -> None:
        backend, worker = self.host.backend, one.worker
        await backend.stop(worker.name, 10)
        begun = time.perf_counter()
        await self.host.startup.run(worker)
        await until_up(self.host, worker)
        times.add("restart", time.perf_counter() - begun)
        await paused(self.host, worker)
        begun = time.perf_counter()
        await backend.resume(worker.name)
        await until_up(self.host, worker)
        times.add("unpaused", time.perf_counter() - begun)


def told(times: Times, rounds: int) -> dict[str, object]:
    peer, peers = times.median_ms("peer"), times.median_ms("peers20")
    ours = {what: times.median_ms(what) for what in ("warm", "cold", "restart", "unpaused")}
    burst = times.median_ms("burst20")
    steps = ("create", "relay", "start", "boot")
    return {
        "ratio": {
            **{what: round(took / peer, 2) for what, took in ours.items()},
            "burst20": round(burst / peers, 2),
        },
        "peer_ms": peer,
        "peers20_ms": peers,
        "ours_ms": {**ours, "burst20": burst},
        "agent_ms": {what: times.median_ms(f"{what}.agent") for what in ("warm", "cold")},
        "steps": {
            what: {step: times.median_ms(f"{what}.{step}") for step in steps}
            for what in ("warm", "cold")
        },
        "rounds": rounds,
        "load": round(os.getloadavg()[0], 1),
    }


async def main(rounds: int, image: str) -> None:
    times = Times()
    folder = Path(tempfile.mkdtemp(prefix="bb", dir="/tmp"))  # sockets' paths are short
    try:
        async with (
            embedded_stack(OWN) as stack,
            own_host(stack, folder, engine=ENGINE, image=image) as (settings, host),
        ):
            bench = Bench(stack, settings, host, Peer(ENGINE, image))
            for number in range(rounds + 1):
                seen = times if number else Times()  # the first warms both up
                await bench.one_round(seen)
                print({what: round(took[-1] * 1000) for what, took in seen.seen.items()})
            for _ in range(min(rounds, BURST_ROUNDS)):
                await bench.burst(times)
                print({one: round(times.seen[one][-1] * 1000) for one in ("peers20", "burst20")})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(told(times, rounds)))


if __name__ == "__main__":
    given = sys.argv[1:]
    asyncio.run(main(int(given[0]) if given else ROUNDS, given[1] if given[1:] else IMAGE))
