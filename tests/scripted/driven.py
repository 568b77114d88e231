"""The scripted agent as a process, driven by the protocol's own SDK."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import acp
from acp.schema import (
    AcceptElicitationResponse,
    AllowedOutcome,
    ClientCapabilities,
    DeniedOutcome,
    ElicitationCapabilities,
    ElicitationFormCapabilities,
    RequestPermissionResponse,
)

DEADLINE = 30
ROOT = Path(__file__).parents[2]


def script(*steps: dict[str, Any]) -> list[Any]:
    return [acp.text_block(f"Do this: <<SCRIPT{json.dumps(steps)}SCRIPT>>")]


def said(text: str) -> list[Any]:
    return [acp.text_block(text)]


class Client(acp.Client):
    def __init__(self) -> None:
        self.updates: list[Any] = []
        self.asked: list[Any] = []
        self.forms: list[str] = []
        self.choose = "reject_once"

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:  # noqa: ARG002 - the SDK names it
        self.updates.append(update)

    async def request_permission(
        self,
        session_id: str,  # noqa: ARG002 - the SDK names it
        tool_call: Any,
        options: list[Any],
        **_: Any,
    ) -> RequestPermissionResponse:
        self.asked.append(tool_call)
        chosen = next((o for o in options if o.kind == self.choose), None)
        if chosen is None:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        outcome = AllowedOutcome(outcome="selected", option_id=chosen.option_id)
        return RequestPermissionResponse(outcome=outcome)

    async def create_elicitation(self, message: str, mode: Any, **_: Any) -> Any:  # noqa: ARG002 - the SDK names it
        self.forms.append(message)
        return AcceptElicitationResponse(action="accept", content={"answer": "blue"})

    def of(self, kind: str) -> list[Any]:
        return [update for update in self.updates if update.session_update == kind]

    @property
    def text(self) -> str:
        return "".join(update.content.text for update in self.of("agent_message_chunk"))


class Agent:
    def __init__(self, connection: Any, client: Client, process: Any, workspace: Path) -> None:
        self.connection = connection
        self.client = client
        self.process = process
        self.workspace = workspace

    async def new(self) -> str:
        answer = await self.connection.new_session(cwd=str(self.workspace), mcp_servers=[])
        return str(answer.session_id)

    async def prompt(self, session_id: str, prompt: list[Any]) -> Any:
        async with asyncio.timeout(DEADLINE):
            return await self.connection.prompt(session_id=session_id, prompt=prompt)


class Start(Protocol):
    def __call__(self, **environment: str) -> contextlib.AbstractAsyncContextManager[Agent]: ...


def agent_below(place: Path) -> Start:
    """Starts agents that have one home and one workspace there, one after the other."""
    home, workspace = place / "home", place / "workspace"
    home.mkdir()
    workspace.mkdir()
    env = {"HOME": str(home), "PATH": os.defpath, "PYTHONPATH": str(ROOT)}

    @contextlib.asynccontextmanager
    async def started(**environment: str) -> AsyncIterator[Agent]:
        client = Client()  # pyright: ignore[reportAbstractUsage]  # what it lacks is never called
        with (place / "stderr").open("ab") as stderr:
            async with acp.spawn_agent_process(
                client, sys.executable, "-m", "scripted.agent", env={**env, **environment},
                cwd=workspace, transport_kwargs={"stderr": stderr.fileno()},
                use_unstable_protocol=True,
            ) as (connection, process):  # fmt: skip
                forms = ElicitationCapabilities(form=ElicitationFormCapabilities())
                await connection.initialize(
                    protocol_version=1, client_capabilities=ClientCapabilities(elicitation=forms)
                )
                yield Agent(connection, client, process, workspace)

    return started
