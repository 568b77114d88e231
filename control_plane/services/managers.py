"""Managers: registration with an incarnation, heartbeats that renew leases, commands."""

import asyncio
from uuid import UUID

import msgspec

from chassis.auth import hash_token, new_token
from chassis.failpoints import failpoint
from contracts.managers import (
    Commands,
    Heartbeat,
    HeartbeatAnswer,
    PollCommands,
    Register,
    Registered,
    WorkerReportedState,
    WorkerVerdict,
)
from contracts.workers import Verdict
from control_plane.domain.egress import InForce
from control_plane.services.incarnation import require_incarnation
from control_plane.services.rescue import Rescue
from control_plane.services.verdicts import verdict
from control_plane.services.wakeups import Wakeups
from control_plane.settings import Settings
from control_plane.store import commands, workers
from control_plane.store import egress as policies
from control_plane.store.database import Database

COMMANDS_AT_ONCE = 200
FORGOTTEN_AT_ONCE = 500


class Managers:
    def __init__(
        self, database: Database, wakeups: Wakeups, rescue: Rescue, settings: Settings
    ) -> None:
        self._database = database
        self._rescue = rescue
        self._wakeups = wakeups
        self._settings = settings

    async def register(self, ask: Register) -> Registered:
        """Supersedes the former incarnation; live workers get fresh tokens and a new lease.

        The lease is renewed as by a heartbeat: a manager that comes back has one lease to adopt.
        """
        agents = msgspec.json.encode({offer.agent: offer.missing for offer in ask.agents}).decode()
        async with self._database.unit() as unit:
            incarnation = await workers.register(
                unit,
                ask.manager_id,
                name=ask.name,
                backend=ask.backend,
                max_workers=ask.max_workers,
                agents=agents,
                url=ask.url,
                isolation=msgspec.json.encode(ask.isolation).decode(),
                offer=msgspec.json.encode(ask.containers).decode(),
                preflight=msgspec.json.encode(ask.preflight).decode(),
            )
            manager = await require_incarnation(unit, ask.manager_id, incarnation)
            live = await workers.live_workers(unit, ask.manager_id)
            granted = [msgspec.structs.replace(one, token=new_token("bwt")) for one in live]
            await workers.renew_tokens(
                unit, [(one.worker_id, hash_token(one.token)) for one in granted]
            )
            await workers.heartbeat(
                unit,
                ask.manager_id,
                draining=False,
                answered=[(one.worker_id, None) for one in granted],
                lease=self._settings.lease_seconds,
            )
        return Registered(
            incarnation=incarnation,
            workers=granted,
            lease_seconds=self._settings.lease_seconds,
            heartbeat_seconds=self._settings.heartbeat_seconds,
            outage_grace_seconds=self._settings.outage_grace_seconds,
            idle_after_seconds=self._settings.idle_after_seconds,
            remove_after_seconds=self._settings.remove_after_seconds,
            orders=manager.orders,
        )

    async def heartbeat(self, manager_id: UUID, beat: Heartbeat) -> HeartbeatAnswer:
        async with self._database.unit() as unit:
            manager = await require_incarnation(unit, manager_id, beat.incarnation)
            await failpoint("heartbeat.begun")
            await workers.heartbeat(
                unit,
                manager_id,
                draining=beat.draining,
                answered=[
                    (one.worker_id, one.idle_seconds) for one in beat.workers if one.answered
                ],
                lease=self._settings.lease_seconds,
            )
            standings = await workers.standings(
                unit.connection, [one.worker_id for one in beat.workers]
            )
            egress = await policies.of_current_workers(
                unit.connection, [one.worker_id for one in beat.workers if one.egress_version]
            )
        await self._release_forgotten(beat)
        return HeartbeatAnswer(
            workers=[
                _told(
                    one,
                    verdict(standings.get(one.worker_id), manager_id),
                    egress.get(one.worker_id),
                )
                for one in beat.workers
            ],
            orders=manager.orders,
        )

    async def _release_forgotten(self, beat: Heartbeat) -> None:
        grace = self._settings.lease_seconds / 2
        idle = [one.worker_id for one in beat.workers if (one.idle_seconds or 0) >= grace]
        if idle:
            await self._rescue.release_forgotten(idle)

    async def commands(self, manager_id: UUID, poll: PollCommands) -> Commands:
        """Acknowledges, then waits up to `wait_seconds` for commands not yet acknowledged."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + poll.wait_seconds
        async with self._database.unit() as unit:
            await require_incarnation(unit, manager_id, poll.incarnation)
            await commands.done(unit, poll.done, manager_id)
        with self._wakeups.subscribe(manager_id) as woken:
            while True:
                async with self._database.unit() as unit:
                    await require_incarnation(unit, manager_id, poll.incarnation)
                    found = await commands.open_commands(
                        unit.connection, manager_id, COMMANDS_AT_ONCE
                    )
                left = self._wakeups.left(deadline)
                if found or left <= 0:
                    return Commands(commands=found)
                await woken.wait(min(left, self._settings.poll_seconds))

    async def forget_commands(self) -> int:
        """One pass: how many it forgot, in batches that are transactions of their own."""
        forgotten = 0
        while True:
            async with self._database.unit() as unit:
                batch = await commands.forget(
                    unit,
                    after=self._settings.forget_commands_after_seconds,
                    limit=FORGOTTEN_AT_ONCE,
                )
            forgotten += batch
            if batch < FORGOTTEN_AT_ONCE:
                return forgotten


def _told(one: WorkerReportedState, told: Verdict, now: InForce | None) -> WorkerVerdict:
    """With the policy that is in force, where that is another one than it was given."""
    if now is None or now.version == one.egress_version:
        return WorkerVerdict(worker_id=one.worker_id, verdict=told)
    return WorkerVerdict(
        worker_id=one.worker_id, verdict=told, egress=now.policy, egress_version=now.version
    )
