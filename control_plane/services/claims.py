"""Claims: a manager takes the heads of lines that it has room for."""

import asyncio
from uuid import UUID

from chassis.auth import hash_token, new_token
from chassis.failpoints import failpoint
from contracts.containers import ContainerOffer
from contracts.managers import Claim, Claimed, ClaimedRun
from contracts.workers import WorkerGrant
from control_plane.domain import claims
from control_plane.domain.claims import Claimant, Timing
from control_plane.domain.containers import refused
from control_plane.domain.line import Policy
from control_plane.domain.quotas import Rooms
from control_plane.services.admission import rooms_for
from control_plane.services.incarnation import require_incarnation
from control_plane.services.wakeups import Wakeups
from control_plane.store import containers, line, session_saves, session_states, workers
from control_plane.store.database import Database, Unit
from control_plane.store.session_states import Loaded
from control_plane.store.workers import ManagerRow

OVERLOOK = 8
"""Candidates looked at for each run wanted: what others hold is passed over."""


class Claims:
    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        policy: Policy,
        timing: Timing,
        *,
        batch: int,
        poll_seconds: float,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._policy = policy
        self._timing = timing
        self._batch = batch
        self._poll = poll_seconds

    async def claim(self, manager_id: UUID, ask: Claim) -> Claimed:
        """Waits up to `wait_seconds` for something to claim; no transaction is open meanwhile."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        deadline = asked + ask.wait_seconds
        with self._wakeups.subscribe("queue") as woken:
            while True:
                runs = await self.claim_now(manager_id, ask, waited=loop.time() - asked)
                left = self._wakeups.left(deadline)
                if runs or left <= 0:
                    return Claimed(runs=runs)
                await woken.wait(min(left, self._poll))

    async def claim_now(
        self, manager_id: UUID, ask: Claim, *, waited: float = 0.0
    ) -> list[ClaimedRun]:
        """Nothing for one that asked and has not been heard of since: its host may be gone, and
        whatever it was given would be lost for a lease.
        """
        claimant = Claimant(manager_id, ask.claim_id, frozenset(ask.agents))
        async with self._database.unit() as unit:
            manager = await require_incarnation(unit, manager_id, ask.incarnation)
            given = await self._given(unit, claimant)
            silent = min(waited, manager.silent_seconds) > self._policy.lease / 2
            if given or manager.draining or silent:
                return given
            free = await self._free(unit, manager_id, manager, ask.free)
            said = await containers.choices(unit.connection) if free else []
            wanted = await line.candidates(
                unit.connection,
                claimant,
                room=free > 0,
                limit=self._batch * OVERLOOK,
                refused=refused(said, manager.containers),
            )
            if not wanted:
                return []
            await failpoint("claim.candidates")
            loaded = await session_states.lock_free(unit, wanted, self._batch)
            await failpoint("claim.locked")
            runs = await self._take(unit, loaded, claimant, manager.containers, free)
            await session_saves.save(unit, loaded)
        await failpoint("claim.committed")
        return runs

    async def _take(
        self, unit: Unit, loaded: Loaded, claimant: Claimant, offer: ContainerOffer, free: int
    ) -> list[ClaimedRun]:
        heads = [state.head.id for state in loaded.states.values() if state.head is not None]
        payloads = await line.payloads(unit.connection, heads)
        rooms = await rooms_for(unit, _new_workers(loaded, claimant)) if free else Rooms({})
        runs: list[ClaimedRun] = []
        for state in loaded.states.values():
            if not claims.claimable(state, claimant, room=free > 0) or state.head is None:
                continue
            payload = payloads[state.head.id]
            if state.worker is None and (
                offer.refusal(payload.choice) is not None
                or not rooms.take(state.session.project_id, state.head.user_id)
            ):
                continue
            given = claims.claim(state, claimant, payload, self._policy, self._timing)
            free -= given.fresh_worker
            runs.append(given)
        return runs

    async def _free(self, unit: Unit, manager_id: UUID, manager: ManagerRow, asked: int) -> int:
        """What an administrator has set is in force before the manager hears of it."""
        if manager.wanted_workers is None or not asked:
            return asked
        held = await workers.held(unit.connection, manager_id)
        return min(asked, max(0, manager.wanted_workers - held))

    async def _given(self, unit: Unit, claimant: Claimant) -> list[ClaimedRun]:
        """The answer to a claim that is repeated: the same runs, a starting worker's token anew."""
        tokens: list[tuple[UUID, str]] = []
        runs: list[ClaimedRun] = []
        for given in await line.given(unit.connection, claimant):
            token = new_token("bwt") if given.starting else ""
            if token:
                tokens.append((given.worker_id, hash_token(token)))
            grant = WorkerGrant(
                worker_id=given.worker_id,
                session_id=given.session_id,
                project_id=given.project_id,
                epoch=given.epoch,
                token=token,
                limits=given.limits,
                egress=given.egress.policy,
                egress_version=given.egress.version,
                image=given.choice.image,
                runtime=given.choice.runtime,
                tier=given.choice.tier,
            )
            runs.append(
                ClaimedRun(
                    run_id=given.run_id,
                    attempt=given.attempt,
                    worker=grant,
                    fresh_worker=given.starting,
                    traceparent=given.traceparent,
                )
            )
        await workers.renew_tokens(unit, tokens)
        return runs


def _new_workers(loaded: Loaded, claimant: Claimant) -> list[tuple[UUID, UUID | None]]:
    """Project and user of each that would get one."""
    return [
        (state.session.project_id, state.head.user_id)
        for state in loaded.states.values()
        if state.worker is None
        and state.head is not None
        and claims.claimable(state, claimant, room=True)
    ]
