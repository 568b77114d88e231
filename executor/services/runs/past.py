"""What an agent knows of its session's past: its own memory, a record of it, or nothing."""

import asyncio
from dataclasses import dataclass

from chassis.errors import CallFailed
from contracts.commands import RunSpec
from contracts.events import ResumeLabel
from contracts.transcripts import TRANSCRIPT, AskTranscript, Transcript
from executor.agents.session import Opened
from executor.relay import Relay

ASK_SECONDS = 20.0
"""For the record of the past; without it the agent begins without one."""
FIRST = "the agent has no earlier session here"


@dataclass(frozen=True, slots=True)
class Past:
    label: ResumeLabel
    reason: str = ""
    """Why it is not native."""
    transcript: str = ""
    lost: bool = False
    """There was one, and the agent knows nothing of it."""


async def past_of(opened: Opened, spec: RunSpec, relay: Relay, *, epoch: int) -> Past:
    if opened.label is ResumeLabel.NATIVE:
        return Past(ResumeLabel.NATIVE)
    why = opened.reason or FIRST
    if not spec.has_history:
        return Past(ResumeLabel.FRESH, why)
    told = await _told(spec, relay, epoch)
    if isinstance(told, str):
        return Past(ResumeLabel.FRESH, f"{why}; {told}", lost=True)
    return Past(ResumeLabel.REBUILT, f"{why}; {_how_much(told)}", told.text)


async def _told(spec: RunSpec, relay: Relay, epoch: int) -> Transcript | str:
    """Or why there is none."""
    ask = AskTranscript(epoch=epoch, run_id=spec.run_id)
    try:
        async with asyncio.timeout(ASK_SECONDS):
            told = await relay.call_until_answered(TRANSCRIPT, ask)
    except TimeoutError:
        return f"the record of the session could not be asked for within {ASK_SECONDS:.0f} s"
    except CallFailed as failure:
        return f"the record of the session was refused: {failure.code or failure}"
    return told if told.runs else "the record of the session has nothing to tell"


def _how_much(told: Transcript) -> str:
    """As a person reads it beside the label."""
    left = f", {told.left_out} older found no room" if told.left_out else ""
    messages = "1 earlier message was" if told.runs == 1 else f"{told.runs} earlier messages were"
    return f"{messages} told to it from the log{left}"
