"""The model of a run that names none: the first that its project offers in its agent's format."""

import asyncio
from pathlib import Path

import msgspec

from chassis.calls import Incoming, Outgoing, Unreachable, Unreadable
from contracts.reasons import Reason
from executor.agents.errors import AgentFailed, ModelMissing
from executor.http_calls import UnixCalls
from executor.services.runs.model_path import MODELS, reason_of_status

ASK_SECONDS = 40.0
"""The relay waits for a control plane that is away, and then says so."""
ANSWER_BYTES = 4 * 1024 * 1024


class _Model(msgspec.Struct, frozen=True):
    id: str


class _Models(msgspec.Struct, frozen=True):
    data: list[_Model]


async def default_model(agent_dir: Path, wire_format: str) -> str:
    """Asked for as the agent would, on its own socket.

    Raises `ModelMissing`: none is offered; `AgentFailed`: nobody could be asked.
    """
    answer = await _asked(agent_dir, f"/{MODELS}/v1/models?format={wire_format}")
    if not answer.good:
        detail = f"the project's models could not be asked for: the answer was {answer.status}"
        raise AgentFailed(reason_of_status(answer.status), detail)
    try:
        models = msgspec.json.decode(answer.content, type=_Models).data
    except msgspec.MsgspecError as error:
        detail = f"the list of the project's models has another form: {error}"
        raise AgentFailed(Reason.MODEL_UNAVAILABLE, detail) from error
    if not models:
        detail = f"the project offers no model in the format {wire_format}"
        raise ModelMissing(f"{detail}; set an upstream: berth models set")
    return models[0].id


async def _asked(agent_dir: Path, target: str) -> Incoming:
    calls = UnixCalls(str(agent_dir / "agent.sock"))
    request = Outgoing(
        method="GET",
        path=target,
        headers={"accept": "application/json"},
        content=None,
        idempotent=True,
    )
    try:
        async with asyncio.timeout(ASK_SECONDS):
            return await calls.exchange(request, limit=ANSWER_BYTES)
    except (TimeoutError, Unreachable, Unreadable) as error:
        detail = f"the project's models could not be asked for: {error or 'no answer'}"
        raise AgentFailed(Reason.MODEL_UNAVAILABLE, detail) from error
    finally:
        await calls.aclose()
