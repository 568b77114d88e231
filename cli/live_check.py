"""One short conversation with an agent and a provider's own model, and what of it held.

A word goes into a file by the agent's own tools; what it asks for is allowed. Then its worker is
let go, and it is asked for the word again: it has to know it from its own session.
"""

import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

import msgspec

from cli.client import ApiClient, Refused
from cli.stream import RunStream, Seen
from contracts.events import HumanLoopRequested, MessageStop, RunClosed, RunFinished, RunStarted
from contracts.human_loop import Replied, Reply
from contracts.managers import StopAnswer
from contracts.models import ModelCallPage
from contracts.runs import AskedLimits, CreateRun, RunOptions, SendMessage
from contracts.sessions import PatchSession, Session

FILE = "live-check.txt"
AGAIN = "Without any tool:"
LIMITS = AskedLimits(max_duration_seconds=300, silence_seconds=120, max_failures=1)


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One finding."""

    agent: str
    check: str
    held: bool
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    agent: str
    model: str
    upstream: str
    project_id: UUID


async def live_check(
    client: ApiClient, subject: Subject, *, word: str = "", answer: str = ""
) -> AsyncGenerator[Held]:
    """Ends early where nothing more can be seen. Raises Refused, Unreachable.

    `word` is what goes into the file, `answer` what is to be said; left out: made up.
    """
    word, answer = word or secrets.token_hex(4), answer or secrets.token_hex(4)
    said = (
        f"Use your own tools to write a file {FILE} in the current directory that holds exactly"
        f" the word {word}. Then answer with the word {answer} and nothing else."
    )
    options = RunOptions(model=subject.model, limits=LIMITS)
    first = RunStream(
        client,
        message=CreateRun(
            text=said, agent=subject.agent, project_id=subject.project_id, options=options,
            title="live check",
        ),
    )  # fmt: skip
    seen = await _talk(client, first)
    ended = _ended(seen)
    yield _held(subject, "answered", answer in _told(seen), ended)
    if first.session_id is None or not _succeeded(seen):
        return
    session = first.session_id
    found = await _file(client, session)
    yield _held(subject, "file", found == word, found or "it is not there")
    yield await _usage(client, subject, session)
    yield await _resumed(client, subject, session, word)
    await client.patch(f"/api/v1/sessions/{session}", Session, PatchSession(archived=True))


async def _resumed(client: ApiClient, subject: Subject, session: UUID, word: str) -> Held:
    """In another container, if the worker may be let go."""
    try:
        await client.post(f"/api/v1/session-workers/{session}/stop", StopAnswer)
    except Refused:
        return _held(subject, "resumed", False, "its worker may not be let go")
    again = SendMessage(
        text=f"{AGAIN} which word did you write into {FILE}? Answer with it alone.",
        options=RunOptions(model=subject.model, limits=LIMITS),
    )
    seen = await _talk(client, RunStream(client, message=again, session_id=session))
    label = next((one.event.resume for one in seen if isinstance(one.event, RunStarted)), "")
    held = label == "native" and word in _told(seen)
    return _held(subject, "resumed", held, label or _ended(seen))


async def _usage(client: ApiClient, subject: Subject, session: UUID) -> Held:
    page = await client.get("/api/v1/model-calls", ModelCallPage, session_id=session, limit=200)
    done = [one for one in page.items if one.source == "metered"]
    tokens = sum(one.input_tokens + one.cached_tokens + one.output_tokens for one in done)
    ours = {one.upstream for one in done} == {subject.upstream}
    return _held(subject, "usage", bool(tokens) and ours, f"{len(done)} calls, {tokens} tokens")


async def _talk(client: ApiClient, stream: RunStream) -> list[Seen]:
    """Until the run is closed, with every permission granted."""
    seen: list[Seen] = []
    async with aclosing(stream.events()) as found:
        async for one in found:
            seen.append(one)
            if isinstance(one.event, HumanLoopRequested) and one.event.type == "permission":
                path = f"/api/v1/human-loop/{one.event.request_id}/reply"
                await client.post(path, Replied, Reply(decision="allow"))
    return seen


async def _file(client: ApiClient, session: UUID) -> str | None:
    place = f"/api/v1/session-workers/{session}/workspace/file"
    answer = await client.http.get(place, params={"path": FILE})
    return answer.text.strip() if answer.is_success else None


def _told(seen: list[Seen]) -> str:
    return "\n".join(one.event.text for one in seen if isinstance(one.event, MessageStop))


def _succeeded(seen: list[Seen]) -> bool:
    return any(isinstance(one.event, RunClosed) and one.event.state == "succeeded" for one in seen)


def _ended(seen: list[Seen]) -> str:
    for one in seen:
        if isinstance(one.event, RunFinished):
            words = [one.event.state, one.event.reason, one.event.detail]
            return ": ".join(str(word) for word in words if word)
    return "it did not end"


def _held(subject: Subject, check: str, held: bool, told: str) -> Held:  # noqa: FBT001 - the finding
    return Held(agent=subject.agent, check=check, held=held, told=told)
