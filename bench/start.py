"""How soon a session's executor is there: made, started again, unpaused; on a real engine.

Ours is what the manager does: `Startup` with the docker backend, a real relay, and a control plane
that grants the worker, until the executor says it is ready, on an empty workspace. The peer is the
standard library's HTTP server in the same image by a bare `docker run` with a port on loopback,
from its creation to the first 200. Rounds take turns; ratios are of medians of one run.

    python -m bench.start [rounds]

Last line: JSON, times in milliseconds.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

import docker
import httpx

from chassis.errors import CallFailed
from chassis.ids import new_id
from cli.embedded.secret_files import read_secret
from contracts.executors import ExecutorPhase
from contracts.managers import AgentOffer, Register
from executor_manager import wiring
from executor_manager.services.workers import Stage, Worker, worker_of
from executor_manager.settings import Settings
from executor_manager.wiring import Host
from tests.fixtures.stack import EmbeddedStack, embedded_stack

ROUNDS = 7
ENGINE = "unix:///var/run/docker.sock"
IMAGE = "berth-executor:latest"
WAIT = 30.0
PEER_LABEL = "berth.bench"
OWN = {
    # nobody but us takes workers, and nobody takes them from us
    "executor-manager": {"max_workers": "0"},
    "control-plane": {"lease_seconds": "120", "heartbeat_seconds": "5"},
}


@dataclass
class Times:
    """Seconds, by what was measured."""

    seen: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, seconds: float) -> None:
        self.seen.setdefault(what, []).append(seconds)

    def median_ms(self, what: str) -> float:
        return round(statistics.median(self.seen[what]) * 1000, 1)


# --- the peer ------------------------------------------------------------------------------------


class Peer:
    def __init__(self, image: str) -> None:
        self._client = docker.APIClient(ENGINE, timeout=60)
        self._image = image

    def run(self) -> float:
        """Seconds from the creation to the first 200."""
        port = _free_port()
        configuration = {
            "Image": self._image,
            "Entrypoint": ["python3", "-m", "http.server", "8000"],
            "Cmd": [],
            "Labels": {PEER_LABEL: "peer"},
            "ExposedPorts": {"8000/tcp": {}},
            "HostConfig": {
                "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
            },
        }
        begun = time.perf_counter()
        made = self._client.create_container_from_config(configuration)
        try:
            self._client.start(made["Id"])
            while not _answers(port):
                assert time.perf_counter() - begun < WAIT, "the peer does not answer"
                time.sleep(0.002)
            return time.perf_counter() - begun
        finally:
            self._client.remove_container(made["Id"], force=True, v=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as asking:
        asking.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b" 200 " in asking.recv(64)
    return False


# --- ours ----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def own_host(stack: EmbeddedStack, folder: Path) -> AsyncGenerator[Host]:
    """A manager's parts, registered; its relay runs."""
    settings = Settings(
        state_dir=folder / "s",
        sockets_dir=folder / "k",
        control_plane_url=stack.part("control-plane").address,
        object_store_url=stack.part("object-store").address,
        service_key=read_secret(stack.home / "secrets" / "service-manager"),
        backend="docker",
        docker_host=ENGINE,
        executor_image=IMAGE,
        log_level="error",
    )
    host = wiring.build_host(settings, new_id())
    await host.backend.open()
    try:
        await _until_relay(host)
        await host.control_plane.register(
            Register(
                manager_id=host.control_plane.manager_id,
                name="bench",
                backend=host.backend.kind,
                max_workers=4,
                agents=[AgentOffer(agent="scripted")],
            )
        )
        yield host
    finally:
        await host.relay.stop()
        await host.executors.close()
        await host.relay.close()
        await host.client.aclose()
        await host.backend.close()


async def _until_relay(host: Host) -> None:
    async with asyncio.timeout(WAIT):
        while True:
            await host.relay.supervise()
            with contextlib.suppress(CallFailed):
                await host.relay.ask()
                break
            await asyncio.sleep(0.1)
    await host.relay.supervise()  # it has its routes


async def one_worker(stack: EmbeddedStack, host: Host) -> Worker:
    headers = {"Authorization": f"Bearer {stack.key}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=WAIT) as client:
        made = await client.post("/api/v1/sessions", json={"agent": "scripted"})
        session_id = made.raise_for_status().json()["id"]
        message = {"text": "remember a=1"}
        sent = await client.post(f"/api/v1/sessions/{session_id}/messages", json=message)
        sent.raise_for_status()
    async with asyncio.timeout(WAIT):
        while True:
            runs = await host.control_plane.claim(new_id(), free=1, agents=["scripted"], wait=5)
            if runs:
                return worker_of(runs[0].worker, Stage.ACTIVATING)


async def measure(host: Host, worker: Worker, times: Times) -> None:
    backend, name = host.backend, worker.name
    begun = time.perf_counter()
    await host.startup.activate(worker)
    times.add("cold", time.perf_counter() - begun)
    for step in worker.steps:
        times.add(step.step, step.duration_ms / 1000)
    await host.control_plane.report(worker, "ready")

    await backend.stop(name, 10)
    begun = time.perf_counter()
    await host.startup.run(worker)
    await until_up(host, worker)
    times.add("restart", time.perf_counter() - begun)

    await backend.pause(name)
    begun = time.perf_counter()
    await backend.resume(name)
    await until_up(host, worker)
    times.add("unpaused", time.perf_counter() - begun)


async def until_up(host: Host, worker: Worker) -> None:
    async with asyncio.timeout(WAIT):
        while True:
            with contextlib.suppress(CallFailed):
                status = await host.executors.status(worker)
                if status.phase in {ExecutorPhase.READY, ExecutorPhase.BUSY}:
                    return
            await asyncio.sleep(0.005)


async def remove(host: Host, worker: Worker) -> None:
    await host.backend.stop(worker.name, 0)
    await host.backend.remove(worker.name)
    await host.relay.delete(worker)
    await host.executors.forget(worker)
    await host.control_plane.report(worker, "failed", "bench", "its round is over")


async def main(rounds: int) -> None:
    peer, times = Peer(IMAGE), Times()
    folder = Path(tempfile.mkdtemp(prefix="bb", dir="/tmp"))  # sockets' paths are short
    try:
        async with embedded_stack(OWN) as stack, own_host(stack, folder) as host:
            for number in range(rounds + 1):
                seen = times if number else Times()  # the first warms both up
                seen.add("peer", await asyncio.to_thread(peer.run))
                worker = await one_worker(stack, host)
                try:
                    await measure(host, worker, seen)
                finally:
                    await remove(host, worker)
                print({what: round(took[-1] * 1000) for what, took in seen.seen.items()})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    peer_ms = times.median_ms("peer")
    ours = {what: times.median_ms(what) for what in ("cold", "restart", "unpaused")}
    figures = {
        "ratio": {what: round(took / peer_ms, 2) for what, took in ours.items()},
        "peer_ms": peer_ms,
        "ours_ms": ours,
        "steps": {step: times.median_ms(step) for step in ("create", "relay", "start", "boot")},
        "rounds": rounds,
        "load": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
