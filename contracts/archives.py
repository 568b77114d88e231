"""A session as one archive: a plain tar (ustar) of these members, in this order, and no others.

    berth.json                  `ArchiveHead`
    manifest                    of the snapshot, format 2; its packs' keys are the names below
    packs/000000 …              the frames that the manifest's files need, nothing else
    transcript/000000.jsonl …   `AnyLine`, one a line: the conversation, oldest first
    end.json                    `ArchiveEnd`: what came before it is whole

The agent's own state is in the workspace, below `.berth`. Credentials, limits and settings of the
project are not in it.
"""

import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from contracts.events import AnyEvent
from contracts.wire import PromptText, Sha256, Wire

ARCHIVE_FORMAT = 1
MEDIA_TYPE = "application/x-tar"
HEAD, MANIFEST, END = "berth.json", "manifest", "end.json"
CHUNK_BYTES = 4 * 1024 * 1024
"""Of a transcript's member, about."""
MOST_JSON_BYTES = 256 * 1024
"""Of the head, and of the end."""
MOST_TRANSCRIPT_BYTES = 64 * 1024 * 1024
"""Older runs are left out of the conversation."""
MOST_LINES = 1_000_000
MOST_LINE_BYTES = 8 * 1024 * 1024

Moment = Annotated[datetime.datetime, msgspec.Meta(tz=True)]


def pack_name(number: int) -> str:
    return f"packs/{number:06d}"


def transcript_name(number: int) -> str:
    return f"transcript/{number:06d}.jsonl"


class ArchivedSession(Wire, frozen=True, kw_only=True):
    id: UUID
    title: Annotated[str, msgspec.Meta(max_length=200)] = ""
    agent: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    model: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    mode: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class ArchiveHead(Wire, frozen=True, kw_only=True):
    format: int = ARCHIVE_FORMAT
    berth: Annotated[str, msgspec.Meta(max_length=100)]
    """The version that wrote it."""
    session: ArchivedSession
    snapshot_id: UUID
    manifest_sha256: Sha256
    files: int
    bytes: int
    packs: int
    left_out: int = 0
    """Older runs that found no room in the transcript."""


class ArchivedRun(Wire, frozen=True, kw_only=True, tag_field="type", tag="run"):
    """Before its first event."""

    number: int
    """From 0, without gaps."""
    agent: Annotated[str, msgspec.Meta(max_length=100)]
    prompt: PromptText
    state: Literal["succeeded", "failed", "blocked", "canceled"]
    output: str = ""
    reason: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    detail: str = ""
    created_at: Moment
    started_at: Moment | None = None
    finished_at: Moment | None = None


class ArchivedEvent(Wire, frozen=True, kw_only=True, tag_field="type", tag="event"):
    run: int
    attempt: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 1
    at: Moment
    event: AnyEvent


AnyLine = ArchivedRun | ArchivedEvent


class ArchiveEnd(Wire, frozen=True, kw_only=True):
    sha256: Sha256
    """Of all bytes of the archive before this member."""
    runs: int
    events: int
