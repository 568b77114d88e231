"""Permissions and questions of one attempt: the agent waits until a person's answer was taken.

The answer is not in the command that tells of it: it is given by taking the grant, which only one
attempt can do, once. Taken, it is used by the ask that took it or by none: an answer that was
already delivered elsewhere is asked for anew, and said so. Nothing answers by itself.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any, assert_never, cast
from uuid import UUID

import msgspec

from chassis.errors import CallFailed
from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.logs import get_logger
from contracts.errors import Code
from contracts.spool import TAKE_GRANT, Asked, AskWithdrawn, GrantTaken, TakeGrant
from executor.agents.asks import Ask, AskPermission, AskQuestion, Decision
from executor.relay import Relay
from executor.reporter import RunReporter

_log = get_logger()


class _TakenElsewhere(Exception):
    """The grant was delivered to another ask."""


@dataclass(slots=True)
class _Open:
    ask_id: UUID
    answered: asyncio.Queue[UUID]
    """Requests that have an answer to take."""


class Asks:
    def __init__(self, run: RunReporter, relay: Relay, *, epoch: int) -> None:
        self._run = run
        self._relay = relay
        self._epoch = epoch
        self._open: dict[UUID, _Open] = {}
        self._cancelled: set[UUID] = set()
        """Asks whose handler was cancelled: withdrawn by the agent, or their turn is over."""

    @property
    def waiting(self) -> bool:
        return bool(self._open)

    def answered(self, ask_id: UUID, request_id: UUID) -> None:
        """There is an answer to take; for an ask that is over it means nothing."""
        if (waiting := self._open.get(ask_id)) is not None:
            waiting.answered.put_nowait(request_id)

    async def handle(self, ask: Ask) -> Decision:
        """The agent's handler: returns when a person has decided and the decision is ours."""
        while True:
            waiting = _Open(new_id(), asyncio.Queue())
            self._open[waiting.ask_id] = waiting
            try:
                await self._run.entry(self._asked(waiting.ask_id, ask))
                grant = await self._taken(waiting)
            except _TakenElsewhere:
                await self._run.warning(
                    "grant_already_taken",
                    "an answer was delivered to an earlier attempt, which may have used it:"
                    " it is asked again",
                )
                continue
            except asyncio.CancelledError:
                self._cancelled.add(waiting.ask_id)
                raise
            finally:
                del self._open[waiting.ask_id]
            await failpoint("grant.taken")
            return _decision(grant)

    async def withdraw_cancelled(self) -> None:
        """Tells which asks the agent took back, when it is certain that it was the agent."""
        while self._cancelled:
            ask_id = self._cancelled.pop()
            await self._run.entry(AskWithdrawn(**self._run.stamp(), ask_id=ask_id))

    def _asked(self, ask_id: UUID, ask: Ask) -> Asked:
        stamp = self._run.stamp()
        match ask:
            case AskPermission():
                tool = ask.tool or ask.kind
                return Asked(
                    **stamp,
                    ask_id=ask_id,
                    kind="permission",
                    title=ask.title,
                    tool=tool,
                    input=ask.shown,
                    input_hash=input_hash(tool, ask.digest),
                    options=ask.options,
                )
            case AskQuestion():
                return Asked(
                    **stamp,
                    ask_id=ask_id,
                    kind="question",
                    title=ask.title,
                    input_hash=input_hash("", {"title": ask.title, "form": ask.form}),
                    form=ask.form,
                )
            case _:
                assert_never(ask)

    async def _taken(self, waiting: _Open) -> GrantTaken:
        while True:
            request_id = await waiting.answered.get()
            take = TakeGrant(epoch=self._epoch, attempt=self._run.attempt, ask_id=waiting.ask_id)
            try:
                return await self._relay.call_until_answered(
                    TAKE_GRANT, take, request_id=str(request_id)
                )
            except CallFailed as failure:
                if failure.code == Code.GRANT_TAKEN:
                    raise _TakenElsewhere from failure
                # not ours to take: the attempt may be over, which is told elsewhere
                _log.warning("grant_refused", request=str(request_id), code=failure.code)


def input_hash(tool: str, bound: object) -> str:
    """What a grant binds to: equal calls of a tool have equal hashes, in any attempt."""
    canonical = msgspec.json.encode({"tool": tool, "input": bound}, order="sorted")
    return hashlib.sha256(canonical).hexdigest()


def _decision(grant: GrantTaken) -> Decision:
    content: Any = grant.content
    form = cast("dict[str, Any]", content) if isinstance(content, dict) else None
    return Decision(
        option_kind=grant.option_kind, option_id=grant.option_id, content=form, text=grant.text
    )
