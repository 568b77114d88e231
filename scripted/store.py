"""A session's own store: `~/.scripted/sessions/<id>.jsonl`, append-only, one record a line, as real
agents keep theirs.

Everything the agent knows about a session when it comes back is what stands here: the conversation,
its memory, and how far the last script got. Every record is synced to disk before the agent goes
on, except streamed text.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from scripted.script import Step, parse, remembered

Record = dict[str, Any]

_SESSION_ID = re.compile(r"^[A-Za-z0-9_-]{1,100}$")


def folder() -> Path:
    return Path.home() / ".scripted" / "sessions"


class UnknownSession(Exception):
    """No store with this id is here."""


class SessionStore:
    def __init__(self, path: Path, records: list[Record]) -> None:
        self._path = path
        self._records = records
        self._file = path.open("ab")

    @classmethod
    def create(cls, session_id: str, *, cwd: str) -> Self:
        folder().mkdir(parents=True, exist_ok=True)
        store = cls(folder() / f"{session_id}.jsonl", [])
        store.append("session", id=session_id, cwd=cwd)
        return store

    @classmethod
    def open(cls, session_id: str) -> Self:
        """Raises `UnknownSession`. A last line that a crash cut off is dropped from the file."""
        path = folder() / f"{session_id}.jsonl"
        if not _SESSION_ID.match(session_id) or not path.is_file():
            raise UnknownSession(session_id)
        whole = path.read_bytes()
        kept = whole[: whole.rfind(b"\n") + 1]
        if kept != whole:
            path.write_bytes(kept)
        return cls(path, [json.loads(line) for line in kept.splitlines()])

    def append(self, kind: str, /, **fields: object) -> None:
        record = {"type": kind, **fields}
        self._records.append(record)
        self._file.write(json.dumps(record, ensure_ascii=True).encode() + b"\n")
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def records(self) -> Iterator[Record]:
        return iter(list(self._records))

    def close(self) -> None:
        self._file.close()

    @property
    def memory(self) -> dict[str, str]:
        """What stands in a context is known as well: a record of what was said elsewhere."""
        known: dict[str, str] = {}
        for record in self._records:
            if record["type"] == "context":
                known |= remembered(record["text"])
            elif record["type"] == "memory":
                known[record["key"]] = record["value"]
        return known

    @property
    def title(self) -> str:
        return next((r["text"][:80] for r in self._records if r["type"] == "user"), "")

    @property
    def tool_calls(self) -> int:
        return sum(r["type"] == "tool_call" for r in self._records)

    def interrupted_call(self) -> str | None:
        """The last tool call, if its result was never recorded."""
        calls = [r["id"] for r in self._records if r["type"] == "tool_call"]
        results = {r["id"] for r in self._records if r["type"] == "tool_result"}
        return calls[-1] if calls and calls[-1] not in results else None

    def unfinished(self) -> tuple[list[Step], int] | None:
        """The script that a crash interrupted and the index of its first step not recorded as
        complete.
        """
        steps: list[Step] | None = None
        following = 0
        for record in self._records:
            if record["type"] == "user" and record["scripted"]:
                steps, following = parse(record["text"]), 0
            elif record["type"] in {"step_done", "tool_result"} and "index" in record:
                following = record["index"] + 1
            elif record["type"] == "turn_end":
                steps = None
        return (steps, following) if steps is not None else None


def stored_sessions() -> list[Record]:
    """The first record of every stored session."""
    if not folder().is_dir():
        return []
    return [
        json.loads(path.open("rb").readline())
        for path in sorted(folder().glob("*.jsonl"))
        if path.stat().st_size
    ]
