"""The start of an attempt: the agent's process, its own session, and what it is told."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from chassis.failpoints import failpoint
from contracts.commands import RunSpec
from contracts.reasons import Reason
from contracts.runs import Need
from contracts.spool import RunStartedReported
from executor.agents.errors import AgentFailed, ConnectionLost
from executor.agents.profile import AgentOptions, BadProfile, Profile, UnknownAgent, load_profile
from executor.agents.session import AgentSession, Opened
from executor.agents.updates import Initialized
from executor.reporter import RunReporter
from executor.services.agent_data import AgentHistory
from executor.services.prompts import context_of, prompt_of
from executor.services.runs.model_choice import default_model
from executor.services.runs.model_path import MODELS, ModelPath
from executor.services.runs.past import Past, past_of
from executor.services.worker import Worker

LISTENING_SECONDS = 5.0
"""Without its way out an agent starts all the same: it may not need it."""
TOOLS = "/tools/mcp"
NO_TOOLS = "the agent takes no tools over HTTP: it can neither finish nor block a task, nor ask"
RESUMES = 2
"""Times that an agent may end while it resumes its own session; then it is started without."""


@dataclass(frozen=True, slots=True)
class Prompted:
    """What to say, and what to remember once the agent has taken it in."""

    prompt: str
    history: AgentHistory
    context: str = ""
    """To say before it: the record of a past that the agent has lost."""


class Opening:
    """`session` is set as soon as there is a process to end."""

    def __init__(
        self, worker: Worker, spec: RunSpec, run: RunReporter, model_path: ModelPath
    ) -> None:
        self.session: AgentSession | None = None
        self._model_path = model_path
        self._model = spec.model
        self._worker = worker
        self._spec = spec
        self._run = run

    async def open(self) -> Prompted:
        """Raises `AgentFailed`, `WorkspaceError`, `OSError`."""
        profile = _profile(self._spec.agent, self._worker.settings.agent_profiles_dir)
        data = self._worker.agent_data
        self._worker.saves.dirty = True
        await data.link(profile)
        history = await data.history()
        await self._way_out(profile)
        await failpoint("run.before_agent_start")
        opened = await self._opened(profile, history.sessions.get(self._spec.agent))
        await failpoint("run.after_agent_open")
        epoch = self._worker.settings.epoch
        past = await past_of(opened, self._spec, self._worker.relay, epoch=epoch)
        await self._report(past)
        await failpoint("run.before_prompt")
        return Prompted(
            prompt_of(self._spec, history, past.label),
            self._later(history, opened),
            context_of(past.transcript),
        )

    async def _opened(self, profile: Profile, resume_id: str | None) -> Opened:
        """An agent that ends over its own former session, again and again, begins another one."""
        ended = ""
        for _ in range(RESUMES):
            session = await self._started(profile)
            try:
                return await session.open(resume_id)
            except ConnectionLost as error:
                if resume_id is None:
                    raise
                ended = error.detail
            await session.end()
        opened = await (await self._started(profile)).open()
        reason = f"the agent ended while it resumed its own session: {ended}"
        return msgspec.structs.replace(opened, reason=reason)

    async def _way_out(self, profile: Profile) -> None:
        """Raises `AgentFailed`: it needs a model, and there is none."""
        settings, loopback = self._worker.settings, self._worker.loopback
        if loopback is None or settings.agent_dir is None:
            return
        await loopback.listening(within=LISTENING_SECONDS)
        await self._model_path.begin()
        wire_format = profile.model.format
        # what else a base URL leads to need not know of formats
        if self._model is None and wire_format is not None and settings.model_base_url is None:
            self._model = await default_model(settings.agent_dir, wire_format)

    async def _started(self, profile: Profile) -> AgentSession:
        self.session = session = await AgentSession.start(profile, self._options())
        _check_needs(self._spec.needs, profile, session.initialized)
        return session

    def _url(self, path: str) -> str | None:
        return self._worker.loopback.url(path) if self._worker.loopback is not None else None

    async def _report(self, past: Past) -> None:
        await self._run.entry(
            RunStartedReported(**self._run.stamp(), resume=past.label, resume_reason=past.reason)
        )
        if self._url(TOOLS) is not None and not _takes_tools(self.session):
            await self._run.warning("platform_tools_missing", NO_TOOLS)
        if past.lost:
            await self._run.warning("resume_unavailable", past.reason)

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
            model=self._model,
            mode=self._spec.mode,
            model_base_url=settings.model_base_url or self._url(f"/{MODELS}"),
            tools_url=self._url(TOOLS),
            granted=settings.egress,
            relay_url=self._url(""),
            threads=self._worker.threads,
            spared=self._worker.spared,
        )


def _takes_tools(session: AgentSession | None) -> bool:
    return session is not None and session.initialized.agent_capabilities.mcp_capabilities.http


def _profile(agent: str, further: Path) -> Profile:
    try:
        return load_profile(agent, further)
    except (UnknownAgent, BadProfile) as error:
        raise AgentFailed(Reason.AGENT_MISSING, str(error)) from error


def _check_needs(needs: list[str], profile: Profile, initialized: Initialized) -> None:
    able = initialized.agent_capabilities
    has: dict[str, bool] = {
        Need.RESUME: able.load_session or able.session_capabilities.resume is not None,
        Need.PERMISSIONS: "ask" in profile.modes,
        Need.MODES: bool(profile.modes),
        Need.IMAGES: able.prompt_capabilities.image,
        Need.MCP: able.mcp_capabilities.http,
    }
    lacking = [need for need in needs if not has.get(need, False)]
    if lacking:
        there = ", ".join(name for name, is_there in has.items() if is_there) or "nothing"
        detail = f"{profile.title} lacks {', '.join(lacking)}; it has {there}"
        raise AgentFailed(Reason.CAPABILITY_MISSING, detail)
