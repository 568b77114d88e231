"""The scripted agent: a small deterministic coding agent that speaks the Agent Client Protocol over
stdio.

It calls no model. What it does stands in the prompt (`scripted.script`); what it knows of a session
stands in that session's store (`scripted.store`). A prompt without a script continues a script that
a crash interrupted, at the first step that is not recorded as complete; a tool call without a
recorded result is then made, and asked for, again.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from uuid import uuid4

from scripted.rpc import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    RESOURCE_NOT_FOUND,
    Params,
    Peer,
    RpcError,
    stdio,
)
from scripted.script import Step, friendly, parse
from scripted.served_tool import servers_of
from scripted.session import Session, is_choice
from scripted.store import SessionStore, UnknownSession, stored_sessions
from scripted.turn import Turn

PROTOCOL_VERSION = 1
AGENT_CAPABILITIES: Params = {
    "loadSession": True,
    "promptCapabilities": {"image": False, "audio": False, "embeddedContext": True},
    "mcpCapabilities": {"http": True, "sse": False},
    "sessionCapabilities": {"list": {}, "resume": {}, "close": {}},
}


class ScriptedAgent:
    def __init__(self) -> None:
        self.peer: Peer
        self.stubborn = False
        self._forms = False
        self._sessions: dict[str, Session] = {}
        self._turns: dict[str, asyncio.Task[Params]] = {}
        self._lines: dict[str, asyncio.Lock] = {}
        self._methods: dict[str, Callable[[Params], Awaitable[Params]]] = {
            "initialize": self._initialize,
            "authenticate": self._nothing,
            "session/new": self._new,
            "session/load": self._load,
            "session/resume": self._resume,
            "session/list": self._list,
            "session/close": self._close,
            "session/prompt": self._prompt,
            "session/cancel": self._cancel,
            "session/set_config_option": self._set_config_option,
            "$/cancel_request": self._nothing,
        }

    async def handle(self, method: str, params: Params) -> Params:
        serve = self._methods.get(method)
        if serve is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found", {"method": method})
        try:
            return await serve(params)
        except KeyError as error:
            raise RpcError(INVALID_PARAMS, f"Invalid params: {error} is missing") from error

    async def _nothing(self, _params: Params) -> Params:
        return {}

    async def _initialize(self, params: Params) -> Params:
        elicitation: Params = params.get("clientCapabilities", {}).get("elicitation") or {}
        self._forms = "form" in elicitation
        return {
            "protocolVersion": PROTOCOL_VERSION,
            "agentCapabilities": AGENT_CAPABILITIES,
            "agentInfo": {"name": "scripted", "title": "Scripted agent", "version": "1.0.0"},
            "authMethods": [],
        }

    async def _new(self, params: Params) -> Params:
        session_id = uuid4().hex
        store = SessionStore.create(session_id, cwd=params["cwd"])
        session = self._add(session_id, params, store)
        return {"sessionId": session_id, "configOptions": session.config_options()}

    async def _resume(self, params: Params) -> Params:
        session = self._reopen(params)
        return {"configOptions": session.config_options()}

    async def _load(self, params: Params) -> Params:
        session = self._reopen(params)
        await session.replay()
        return {"configOptions": session.config_options()}

    def _reopen(self, params: Params) -> Session:
        session_id = params["sessionId"]
        try:
            store = SessionStore.open(session_id)
        except UnknownSession as error:
            uri = {"uri": session_id}
            raise RpcError(RESOURCE_NOT_FOUND, "Resource not found", uri) from error
        return self._add(session_id, params, store)

    def _add(self, session_id: str, params: Params, store: SessionStore) -> Session:
        session = Session(
            session_id=session_id,
            cwd=params["cwd"],
            store=store,
            servers=servers_of(params),
            peer=self.peer,
            forms=self._forms,
        )
        self._sessions[session_id] = session
        self._lines[session_id] = asyncio.Lock()
        return session

    def _session(self, params: Params) -> Session:
        session = self._sessions.get(params["sessionId"])
        if session is None:
            raise RpcError(RESOURCE_NOT_FOUND, "Resource not found", {"uri": params["sessionId"]})
        return session

    async def _list(self, _params: Params) -> Params:
        return {"sessions": [{"sessionId": r["id"], "cwd": r["cwd"]} for r in stored_sessions()]}

    async def _close(self, params: Params) -> Params:
        session = self._session(params)
        await self._cancel(params)
        session.store.close()
        del self._sessions[session.session_id]
        return {}

    async def _set_config_option(self, params: Params) -> Params:
        session = self._session(params)
        config_id, value = params["configId"], params["value"]
        if not is_choice(config_id, value):
            raise RpcError(INVALID_PARAMS, f"Invalid params: {config_id} cannot be {value}")
        session.config[config_id] = value
        return {"configOptions": session.config_options()}

    async def _cancel(self, params: Params) -> Params:
        if (turn := self._turns.get(params["sessionId"])) is not None:
            turn.cancel()
        return {}

    async def _prompt(self, params: Params) -> Params:
        session = self._session(params)
        texts = [block["text"] for block in params["prompt"] if block.get("type") == "text"]
        async with self._lines[session.session_id]:
            if context := "\n".join(texts[:-1]):
                session.store.append("context", text=context)
            turn = asyncio.create_task(self._turn(session, texts[-1] if texts else ""))
            self._turns[session.session_id] = turn
            try:
                return await turn
            except asyncio.CancelledError:
                if _abandoned():
                    raise  # not the client's cancel: who comes back goes on with this turn
                session.store.append("turn_end", stop_reason="cancelled")
                return {"stopReason": "cancelled"}
            finally:
                del self._turns[session.session_id]

    async def _turn(self, session: Session, prompt: str) -> Params:
        steps, start = self._plan(session, prompt)
        if (call_id := session.store.interrupted_call()) is not None:
            session.store.append("tool_result", id=call_id, status="failed", output="interrupted")
        turn = Turn(session, stubborn=self._stay)
        return await turn.run(steps, start=start)

    def _plan(self, session: Session, prompt: str) -> tuple[list[Step], int]:
        try:
            steps = parse(prompt)
        except ValueError as error:
            raise RpcError(INVALID_PARAMS, f"Invalid params: {error}") from error
        unfinished = session.store.unfinished() if steps is None else None
        session.store.append("user", text=prompt, scripted=steps is not None)
        if unfinished is not None:
            return unfinished
        if steps is None:
            steps = friendly(prompt, memory=session.store.memory)
        return steps, 0

    def _stay(self) -> None:
        self.stubborn = True


def _abandoned() -> bool:
    """The request itself is being cancelled, because the client is gone."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def main() -> None:
    reader, writer = await stdio()
    agent = ScriptedAgent()
    agent.peer = Peer(reader=reader, writer=writer, handler=agent.handle)
    await agent.peer.listen()
    if agent.stubborn:
        await asyncio.Event().wait()
    await agent.peer.abandon()


if __name__ == "__main__":
    asyncio.run(main())
    os._exit(0)
