"""Commands to a worker: a durable list per epoch, redelivered until acknowledged, idempotent.

A command dies with its epoch: its truth is a row (run, cancel flag, decision) from which the next
claim rebuilds it.
"""

from typing import Any
from uuid import UUID

import msgspec

from contracts.checkouts import GitSource
from contracts.runs import RunLimits
from contracts.wire import Wire


class Answer(Wire, frozen=True, kw_only=True):
    """A person's decision that no attempt could take; told in the continuation's prompt."""

    title: str
    tool: str = ""
    option_kind: str | None = None
    text: str | None = None
    content: Any = None
    """What was filled into a question's form."""


class RunSpec(Wire, frozen=True, kw_only=True):
    run_id: UUID
    attempt: int
    agent: str
    prompt: str
    model: str | None = None
    mode: str | None = None
    needs: list[str] = msgspec.field(default_factory=list[str])
    limits: RunLimits = RunLimits()
    provider_options: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    answers: list[Answer] = msgspec.field(default_factory=list[Answer])
    has_history: bool = False
    """An earlier run of the session started: an agent without a past is then a loss to be told."""
    git: GitSource | None = None
    """What the session's workspace begins with."""
    save_deadline_seconds: float = 120.0
    cancel_grace_seconds: float = 5.0
    traceparent: str = ""


class Command(Wire, frozen=True, kw_only=True, tag_field="type"):
    id: UUID


class StartRun(Command, frozen=True, kw_only=True, tag="start"):
    run: RunSpec


class CancelRun(Command, frozen=True, kw_only=True, tag="cancel"):
    run_id: UUID
    attempt: int


class ReplyToAsk(Command, frozen=True, kw_only=True, tag="reply"):
    """There is an answer to take (`TAKE_GRANT`); the answer itself is only given by the taking."""

    run_id: UUID
    ask_id: UUID
    request_id: UUID


class ParkRun(Command, frozen=True, kw_only=True, tag="park"):
    run_id: UUID
    attempt: int


class InterruptRun(Command, frozen=True, kw_only=True, tag="interrupt"):
    """A drain: end the attempt without a result, save, report `interrupted`."""

    run_id: UUID
    attempt: int


class StopWorker(Command, frozen=True, kw_only=True, tag="stop"):
    """Save, report `stopped`, stay quiet."""


class SyncWorker(Command, frozen=True, kw_only=True, tag="sync"):
    """Save what is in no snapshot yet; go on."""


class RemoveWorker(Command, frozen=True, kw_only=True, tag="remove"):
    """For the manager itself: end the container, delete its volume; audited, forced if unsaved."""

    forced: bool = False


AnyCommand = (
    StartRun
    | CancelRun
    | ReplyToAsk
    | ParkRun
    | InterruptRun
    | StopWorker
    | SyncWorker
    | RemoveWorker
)
