"""One agent at work on one session: its process, its connection, its own session, its turns.

    session = await AgentSession.start(profile, options)
    opened = await session.open(resume_id)
    result = await session.turn(prompt, on_event=…, ask=…, limits=…)
    await session.end()

`cancel` and `end` may be called while a turn runs; the turn then returns. After `end` no process of
the agent is left.
"""

import asyncio
from typing import Any, Self, cast

import msgspec

from contracts.events import ResumeLabel
from contracts.reasons import Reason
from executor.agents.asks import WITHDRAWN, AskHandler
from executor.agents.connection import AgentConnection, request_key
from executor.agents.errors import AgentFailed, ConnectionLost, RpcFailure
from executor.agents.inbox import Asked, EndRequested, Inbox, Item, TakenBack, Updated
from executor.agents.mapping import Mapper
from executor.agents.process import DEFAULT_GRACE, AgentProcess, BoundedFile
from executor.agents.profile import AgentOptions, Profile
from executor.agents.requirements import missing_for
from executor.agents.settings import apply_settings
from executor.agents.state import broken_state
from executor.agents.templates import command_of, environment_of
from executor.agents.turn import OnEvent, Turn, TurnLimits, TurnResult
from executor.agents.updates import Initialized, SessionOpened
from executor.threads import in_thread

Message = dict[str, Any]

PROTOCOL_VERSION = 1
START_DEADLINE = 60.0
OPEN_DEADLINE = 60.0
METHOD_NOT_FOUND = -32601
WIRE_LOG_LIMIT = 4 * 1024 * 1024
PLATFORM = "platform"
"""What agents call the server of our own tools: profiles name it too."""
CLIENT_CAPABILITIES: Message = {
    "fs": {"readTextFile": False, "writeTextFile": False},
    "terminal": False,
    "elicitation": {"form": {}},
}


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    agent_session_id: str
    """To be stored by the caller and given to the next `open`."""
    label: ResumeLabel
    """NATIVE or FRESH; whether a fresh one is rebuilt from the transcript is the caller's doing."""
    reason: str = ""
    """Why it is not native."""


class AgentSession:
    def __init__(self, profile: Profile, options: AgentOptions, process: AgentProcess) -> None:
        self.initialized: Initialized
        """What the agent says it can do."""
        self._profile = profile
        self._options = options
        self._process = process
        self._inbox: Inbox = asyncio.Queue()
        self._session_id = ""
        self._turn: Turn | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        log = options.log_dir / f"{profile.name}.wire"
        self._connection = AgentConnection(
            reader=process.stdout,
            writer=process.stdin,
            notified=self._notified,
            serve=self._serve,
            unread=self._unread,
            wire_log=BoundedFile(log, limit=WIRE_LOG_LIMIT) if options.keep_wire_log else None,
        )

    @classmethod
    async def start(cls, profile: Profile, options: AgentOptions) -> Self:
        """Raises `AgentFailed`: agent_missing, agent_start_failed."""
        identity = options.threads.identity
        missing = await in_thread(missing_for, profile, options.path, identity)
        if missing is not None:
            detail = f"{missing.what} is missing: {missing.how}"
            raise AgentFailed(Reason.AGENT_MISSING, detail)
        process = await AgentProcess.start(
            command_of(profile, options),
            env=environment_of(profile, options),
            cwd=options.workspace,
            stderr=options.log_dir / f"{profile.name}.stderr",
            identity=identity,
            spared=options.spared,
        )
        session = cls(profile, options, process)
        try:
            await session._initialize()
        except BaseException:
            await session.end(grace=0)
            raise
        return session

    async def open(self, resume_id: str | None = None) -> Opened:
        """A new session of the agent's own, or the one it had; then its model and mode.

        Raises `AgentFailed`: the agent cannot open a session, or does not offer the model
        (model_not_found) or the mode (capability_missing).
        """
        opened, answer = await self._resume_or_new(resume_id)
        self._session_id = opened.agent_session_id
        while not self._inbox.empty():
            # `session/load` has replayed the history; our log holds it already.
            _set_aside(self._inbox.get_nowait())
        await apply_settings(
            self._connection, self._profile, self._options, self._session_id, answer
        )
        return opened

    async def turn(
        self,
        prompt: str,
        *,
        on_event: OnEvent,
        ask: AskHandler,
        limits: TurnLimits | None = None,
        context: str = "",
    ) -> TurnResult:
        """One at a time. `context` stands before the prompt, as a part of its own.

        `on_event` gets the turn's events in order; `ask` waits for a person and is cancelled when
        the ask is withdrawn. Both may raise; the session then has to be ended.
        """
        while not self._inbox.empty():
            _set_aside(self._inbox.get_nowait())
        turn = self._turn = Turn(
            connection=self._connection,
            process=self._process,
            inbox=self._inbox,
            mapper=Mapper(self._profile.quirks),
            on_event=on_event,
            ask=ask,
            limits=limits or TurnLimits(),
        )
        self._idle.clear()
        try:
            parts = [{"type": "text", "text": text} for text in (context, prompt) if text]
            return await turn.run(self._session_id, parts)
        finally:
            self._turn = None
            self._idle.set()

    async def cancel(self, *, grace: float = DEFAULT_GRACE) -> None:
        """Returns when no turn runs: after `grace` seconds the agent's processes are killed."""
        if self._turn is not None:
            self._inbox.put_nowait(EndRequested(Reason.CANCELED, grace))
            await self._idle.wait()

    async def end(self, *, grace: float = DEFAULT_GRACE) -> None:
        """Ends every process of the agent. A turn that runs returns `stopped`."""
        if self._turn is not None:
            self._turn.abandon()
        hears_end = not self._profile.quirks.stays_without_input
        await self._process.end_tree(grace=grace, hears_end=hears_end)
        await self._idle.wait()
        await self._connection.close()
        while not self._inbox.empty():
            _set_aside(self._inbox.get_nowait())

    def pause(self) -> None:
        """Stops the agent's processes where they are, so that its files can be read in peace.

        Not outside a turn, and not once its end was asked for: who is to end must run.
        """
        if self._turn is not None and not self._turn.ending:
            self._process.stop_tree()

    def resume(self) -> None:
        self._process.resume_tree()

    @property
    def processes(self) -> list[int]:
        return self._process.tree()

    def stderr_tail(self, size: int = 1000) -> str:
        return self._process.stderr_tail(size)

    # Opening

    async def _initialize(self) -> None:
        params: Message = {
            "protocolVersion": PROTOCOL_VERSION,
            "clientCapabilities": CLIENT_CAPABILITIES,
            "clientInfo": {"name": "berth", "version": "1"},
        }
        try:
            answer = await self._connection.request("initialize", params, within=START_DEADLINE)
            self.initialized = msgspec.convert(answer, Initialized)
        except TimeoutError as error:
            raise self._start_failure("it did not answer") from error
        except msgspec.ValidationError as error:
            raise self._start_failure(f"it answered nonsense: {error}") from error
        except ConnectionLost as error:
            await self._process.end_tree(grace=0)
            raise self._start_failure("it ended at its start") from error
        if self.initialized.protocol_version != PROTOCOL_VERSION:
            spoken = self.initialized.protocol_version
            raise self._start_failure(f"it speaks version {spoken} of the protocol")

    def _start_failure(self, detail: str) -> AgentFailed:
        return self._process.explain(AgentFailed(Reason.AGENT_START_FAILED, detail))

    async def _resume_or_new(self, resume_id: str | None) -> tuple[Opened, SessionOpened]:
        why = ""
        if resume_id is not None:
            why = await self._options.threads.run(self._unresumable, resume_id)
            if not why:
                try:
                    answer = await self._resume(resume_id)
                except RpcFailure as error:
                    why = f"the agent refused to resume: {error.detail}"
                else:
                    opened = Opened(agent_session_id=resume_id, label=ResumeLabel.NATIVE)
                    return opened, answer
        answer = await self._call("session/new")
        if not answer.session_id:
            raise AgentFailed(Reason.AGENT_ERROR, "session/new: no session id came back")
        label = ResumeLabel.FRESH
        return Opened(agent_session_id=answer.session_id, label=label, reason=why), answer

    def _unresumable(self, resume_id: str) -> str:
        able = self.initialized.agent_capabilities
        if able.session_capabilities.resume is None and not able.load_session:
            return "the agent cannot resume a session"
        home = self._options.home
        return broken_state(self._profile, home=home, session_id=resume_id) or ""

    async def _resume(self, resume_id: str) -> SessionOpened:
        able = self.initialized.agent_capabilities
        resumes = able.session_capabilities.resume is not None
        if resumes and not self._profile.quirks.resume_by_load:
            try:
                return await self._call("session/resume", sessionId=resume_id)
            except RpcFailure as error:
                if error.code != METHOD_NOT_FOUND or not able.load_session:
                    raise
        return await self._call("session/load", sessionId=resume_id)

    async def _call(self, method: str, **params: str) -> SessionOpened:
        where: Message = {
            "cwd": str(self._options.workspace),
            "mcpServers": self._mcp_servers(),
        }
        if self._profile.session_meta:
            where["_meta"] = self._profile.session_meta
        try:
            answer = await self._connection.request(
                method, {**where, **params}, within=OPEN_DEADLINE
            )
            return msgspec.convert(answer, SessionOpened)
        except TimeoutError as error:
            detail = f"{method}: no answer within {OPEN_DEADLINE:.0f} s"
            raise AgentFailed(Reason.AGENT_SILENT, detail) from error
        except msgspec.ValidationError as error:
            raise AgentFailed(Reason.AGENT_ERROR, f"{method}: {error}") from error

    def _mcp_servers(self) -> list[Message]:
        """The platform's own tools, for an agent that can reach them."""
        url = self._options.tools_url
        if url is None or not self.initialized.agent_capabilities.mcp_capabilities.http:
            return []
        return [{"type": "http", "name": PLATFORM, "url": url, "headers": []}]

    # What the agent sends: only ever enqueued, so that its order is kept

    def _notified(self, method: str, params: Message) -> None:
        if method == "session/update" and params.get("sessionId") == self._session_id:
            update = params.get("update")
            known = cast("Message", update) if isinstance(update, dict) else {"update": update}
            self._inbox.put_nowait(Updated(known))
        elif method == "$/cancel_request":
            self._inbox.put_nowait(TakenBack(request_key(params.get("requestId"))))

    def _unread(self) -> int:
        """While a turn handles them: what `session/load` replays is set aside as a whole."""
        return self._inbox.qsize() if self._turn is not None else 0

    async def _serve(self, request_id: str, method: str, params: Message) -> Message:
        if method not in WITHDRAWN:
            raise KeyError(method)
        answered: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._inbox.put_nowait(Asked(request_id, method, params, answered))
        return await answered


def _set_aside(item: Item) -> None:
    """What comes outside a turn belongs to nobody; a request still gets its answer."""
    if isinstance(item, Asked):
        item.answer(WITHDRAWN[item.method])
