"""The start of an attempt: the agent's process, its own session, and what it is told."""

from dataclasses import dataclass

from chassis.failpoints import failpoint
from contracts.commands import RunSpec
from contracts.events import ResumeLabel
from contracts.reasons import Reason
from contracts.spool import RunStartedReported
from executor.agents.errors import AgentFailed
from executor.agents.profile import AgentOptions, BadProfile, Profile, UnknownAgent, load_profile
from executor.agents.session import AgentSession, Opened
from executor.agents.updates import Initialized
from executor.reporter import RunReporter
from executor.services.agent_data import AgentHistory
from executor.services.prompts import prompt_of
from executor.services.worker import Worker

LISTENING_SECONDS = 5.0
"""Without its way out an agent starts all the same: it may not need it."""
FIRST = "the agent has no earlier session here"


@dataclass(frozen=True, slots=True)
class Prompted:
    """What to say, and what to remember once the agent has taken it in."""

    prompt: str
    history: AgentHistory


class Opening:
    """`session` is set as soon as there is a process to end."""

    def __init__(self, worker: Worker, spec: RunSpec, run: RunReporter) -> None:
        self.session: AgentSession | None = None
        self._worker = worker
        self._spec = spec
        self._run = run

    async def open(self) -> Prompted:
        """Raises `AgentFailed`, `WorkspaceError`, `OSError`."""
        profile = _profile(self._spec.agent)
        data = self._worker.agent_data
        self._worker.saves.dirty = True
        await data.link(profile)
        history = await data.history()
        if self._worker.loopback is not None:
            await self._worker.loopback.listening(within=LISTENING_SECONDS)
        await failpoint("run.before_agent_start")
        self.session = session = await AgentSession.start(profile, self._options())
        _check_needs(self._spec.needs, profile, session.initialized)
        opened = await session.open(history.sessions.get(self._spec.agent))
        await failpoint("run.after_agent_open")
        await self._report(opened)
        return Prompted(prompt_of(self._spec, history, opened.label), self._later(history, opened))

    async def _report(self, opened: Opened) -> None:
        reason = "" if opened.label is ResumeLabel.NATIVE else opened.reason or FIRST
        await self._run.entry(
            RunStartedReported(**self._run.stamp(), resume=opened.label, resume_reason=reason)
        )
        if self._spec.has_history and opened.label is ResumeLabel.FRESH:
            await self._run.warning("resume_unavailable", reason)

    def _later(self, before: AgentHistory, opened: Opened) -> AgentHistory:
        return AgentHistory(
            agent=self._spec.agent,
            sessions={**before.sessions, self._spec.agent: opened.agent_session_id},
            prompted_run=self._spec.run_id,
            prompted_attempt=self._spec.attempt,
        )

    def _options(self) -> AgentOptions:
        settings = self._worker.settings
        return AgentOptions(
            home=settings.home_dir,
            workspace=settings.workspace_dir,
            path=settings.agent_path,
            log_dir=settings.spool_dir / "agents",
            model=self._spec.model,
            mode=self._spec.mode,
            model_base_url=settings.model_base_url,
            threads=self._worker.threads,
        )


def _profile(agent: str) -> Profile:
    try:
        return load_profile(agent)
    except (UnknownAgent, BadProfile) as error:
        raise AgentFailed(Reason.AGENT_MISSING, str(error)) from error


def _check_needs(needs: list[str], profile: Profile, initialized: Initialized) -> None:
    able = initialized.agent_capabilities
    has = {
        "resume": able.load_session or able.session_capabilities.resume is not None,
        "permissions": "ask" in profile.modes,
        "modes": bool(profile.modes),
    }
    lacking = [need for need in needs if not has.get(need, False)]
    if lacking:
        known = ", ".join(name for name, there in has.items() if there) or "nothing"
        detail = f"{profile.title} lacks {', '.join(lacking)}; it has {known}"
        raise AgentFailed(Reason.CAPABILITY_MISSING, detail)
