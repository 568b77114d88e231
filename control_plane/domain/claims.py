"""What a claim does to one session: its head goes to a worker of the asking manager."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.auth import hash_token, new_token
from chassis.ids import new_id
from contracts.commands import Answer, RunSpec, StartRun
from contracts.containers import ContainerChoice
from contracts.events import RunClaimed, WorkerCreated
from contracts.human_loop import RequestState
from contracts.managers import ClaimedRun
from contracts.runs import RunLimits, RunState
from contracts.workers import WorkerGrant, WorkerLimits, WorkerState
from control_plane.domain.egress import InForce
from control_plane.domain.line import Policy
from control_plane.domain.options import StoredOptions
from control_plane.domain.session_state import AnswerTo, RunRow, SessionState, WorkerRow


@dataclass(frozen=True, slots=True)
class Claimant:
    manager_id: UUID
    claim_id: UUID
    agents: frozenset[str]


@dataclass(frozen=True, slots=True)
class Payload:
    """What a run was asked, loaded beside its state."""

    prompt: str
    options: StoredOptions
    app_limits: RunLimits | None
    traceparent: str
    worker_limits: WorkerLimits
    """The session's own, else its app's."""
    egress: InForce
    """The app's, else the project's."""
    choice: ContainerChoice
    """Of its app."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that executors are told."""

    save_deadline: float
    cancel_grace: float


def claimable(state: SessionState, claimant: Claimant, *, room: bool) -> bool:
    """The guard, on fresh state: a session with a worker belongs to that worker's manager."""
    run = state.head
    if run is None or run.state is not RunState.QUEUED or not run.available:
        return False
    if run.agent not in claimant.agents:
        return False
    worker = state.worker
    if worker is None:
        return room
    return worker.manager_id == claimant.manager_id and not worker.stopping


def claim(
    state: SessionState, claimant: Claimant, payload: Payload, policy: Policy, timing: Timing
) -> ClaimedRun:
    """Gives the head to the session's worker, or to a new one in a new epoch.

    The answer's token is empty where the worker was there already: its manager has it.
    """
    run = state.head
    if run is None:
        raise ValueError("there is nothing to claim")
    token = ""
    if state.worker is None:
        token = new_token("bwt")
        state.worker = _new_worker(state, claimant, token, policy)
        state.worker.limits = payload.worker_limits
    worker = state.worker
    worker.state = WorkerState.BUSY if not token else worker.state
    run.state = RunState.CLAIMED
    run.claim_id = claimant.claim_id
    run.worker_id = worker.id
    state.tell(RunClaimed(worker_id=worker.id, epoch=worker.epoch), run=run)
    state.command(StartRun(id=new_id(), run=_spec(state, run, payload, timing)))
    grant = WorkerGrant(
        worker_id=worker.id,
        session_id=state.id,
        project_id=state.session.project_id,
        epoch=worker.epoch,
        token=token,
        limits=worker.limits,
        egress=payload.egress.policy,
        egress_version=payload.egress.version,
        image=payload.choice.image,
        runtime=payload.choice.runtime,
        tier=payload.choice.tier,
    )
    return ClaimedRun(
        run_id=run.id,
        attempt=run.attempt,
        worker=grant,
        fresh_worker=bool(token),
        traceparent=payload.traceparent,
    )


def _new_worker(state: SessionState, claimant: Claimant, token: str, policy: Policy) -> WorkerRow:
    state.session.epoch += 1
    worker = WorkerRow(
        id=new_id(),
        project_id=state.session.project_id,
        session_id=state.id,
        epoch=state.session.epoch,
        manager_id=claimant.manager_id,
        state=WorkerState.CREATING,
        last_source_seq=0,
        pinned=False,
        stopping=False,
        lease_expired=False,
        token_hash=hash_token(token),
        lease_in=policy.lease,
        user_id=state.head.user_id if state.head else None,
    )
    state.tell(
        WorkerCreated(worker_id=worker.id, epoch=worker.epoch, manager_id=claimant.manager_id)
    )
    return worker


def _spec(state: SessionState, run: RunRow, payload: Payload, timing: Timing) -> RunSpec:
    options = payload.options
    provider: dict[str, Any] = {**state.session.provider_options, **options.provider_options}
    return RunSpec(
        run_id=run.id,
        attempt=run.attempt,
        agent=run.agent,
        prompt=payload.prompt,
        model=options.model or state.session.model,
        mode=options.mode or state.session.mode,
        needs=options.needs,
        limits=options.limits or payload.app_limits or RunLimits(),
        provider_options=provider,
        answers=_answers(state, run),
        has_history=state.session.has_history,
        git=state.session.workspace.git,
        save_deadline_seconds=timing.save_deadline,
        cancel_grace_seconds=timing.cancel_grace,
        traceparent=payload.traceparent,
    )


def _answers(state: SessionState, run: RunRow) -> list[Answer]:
    """What people decided while no attempt could take it."""
    return [
        Answer(
            title=r.title,
            tool=r.tool,
            option_kind=r.option_kind,
            text=r.text,
            content=r.content,
        )
        for r in state.requests
        if r.run_id == run.id and r.state is RequestState.ANSWERED and r.answer_to is AnswerTo.RUN
    ]
