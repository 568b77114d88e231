"""A worker's relay and listener, as a session has them."""

import os
from pathlib import Path

from contracts.egress import EgressPolicy
from executor.agents.environment import tools_environment
from executor.agents.listener import Loopback
from executor_manager.services.ways_out import WaysOut
from tests.control_plane.git.repositories import Inside
from tests.control_plane.git.working import WORKER_TOKEN, Worker
from tests.executor_manager.relay.witness import bind_agent
from tests.executor_manager.relays import Relay


class Berth:
    """A worker's relay and listener; `inside` is what an agent would see."""

    def __init__(self, relay: Relay, worker: Worker, directory: Path) -> None:
        self._relay = relay
        self._worker = worker
        self._directory = directory
        self._loopback: Loopback | None = None

    async def open(self, policy: EgressPolicy) -> Inside:
        """With the rules that a manager makes of this policy."""
        loopback = await self.listen(policy)
        home = self._directory / "home"
        home.mkdir()
        environment = tools_environment(
            home=home,
            path=os.pathsep.join(os.get_exec_path()),
            granted=("git",),
            origin=loopback.url(""),
        )
        return Inside(home, environment)

    async def listen(self, policy: EgressPolicy) -> Loopback:
        ways = WaysOut(control_plane_url=self._worker.plane.url, mib_per_hour=1, connections=1)
        upstreams = [one for one in ways.upstreams(self._worker.id, policy) if one.name == "git"]
        session = await bind_agent(self._relay, *upstreams, worker_id=self._worker.id)
        await self._relay.bind(self._worker.id, WORKER_TOKEN, upstreams)
        self._loopback = Loopback(session.agent.path.parent, 0, None)
        self._loopback.start()
        assert await self._loopback.listening(within=20)
        return self._loopback

    async def close(self) -> None:
        if self._loopback is not None:
            await self._loopback.close()
