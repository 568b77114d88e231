"""What was said in a session, as Markdown in a given number of bytes. Pure.

It is told from its end backwards, so that the newest is kept: a result is met before its call, a
decision before its question. Only whole entries are told; one that is very long says how much of it
is left out. Every line of what somebody said is quoted, and what stands outside a quotation is one
line of ours: nobody can say anything that looks like the record itself.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

import msgspec

from contracts.events import (
    AnyEvent,
    HumanLoopRequested,
    HumanLoopResolved,
    MessageStop,
    MessageUser,
    RunFinished,
    RunRetrying,
    ToolCall,
    ToolResult,
    ToolUpdate,
)

K = TypeVar("K")
V = TypeVar("V")

TOLD = tuple(
    str(one.__struct_config__.tag)
    for one in (
        HumanLoopRequested,
        HumanLoopResolved,
        MessageStop,
        RunRetrying,
        ToolCall,
        ToolResult,
        ToolUpdate,
    )
)
"""Kinds of events. Thoughts, deltas, plans and tools' outputs are left out."""

CONVERSATION = (*(str(one.__struct_config__.tag) for one in (MessageUser, RunFinished)), *TOLD)
"""And what people read besides."""

ENTRY_SHARE = 5
"""One text may take that part of all the room, before it is quoted."""
ABOVE = 120
"""Bytes that are kept for what is said above all else."""
MAX_LINE = 300
MAX_OPEN = 5000
"""Calls and questions that are waited for at most: a log that names none holds no memory."""

_DECIDED = {
    "allow_once": "allowed",
    "allow_always": "allowed, for good",
    "reject_once": "refused",
    "reject_always": "refused, for good",
}


@dataclass(frozen=True, slots=True)
class ToldRun:
    """A run before the one that is to begin. Of its long texts there may be the beginnings only."""

    at: datetime.datetime
    prompt: str
    prompt_length: int
    output: str
    output_length: int
    state: str
    reason: str | None
    detail: str
    cut: bool = False
    """The conversation goes on from its middle: how it ended is another one's."""


@dataclass(slots=True)
class _Chapter:
    """One run: what stands above and below its entries, and these, the newest first."""

    above: list[str]
    below: list[str]
    entries: list[str] = field(default_factory=list[str])
    titles: dict[str, str] = field(default_factory=dict[str, str])
    outcomes: dict[str, str] = field(default_factory=dict[str, str])
    """Of calls, by id."""
    decisions: dict[UUID, HumanLoopResolved] = field(default_factory=dict[UUID, HumanLoopResolved])
    acts: int = 0
    """Entries that tell what somebody said or did."""
    whole: bool = True

    def lines(self) -> list[str]:
        cut = [] if self.whole else ["_Earlier steps are left out._"]
        return [*self.above, *cut, *reversed(self.entries), *self.below]


class Telling:
    """`begin` a run, the newest first, then `add` its events, the newest first."""

    def __init__(self, max_bytes: int) -> None:
        self.runs = 0
        self._longest = max_bytes // ENTRY_SHARE
        self._room = max_bytes - ABOVE
        self._chapters: list[_Chapter] = []
        self._open: _Chapter

    def begin_own(self) -> None:
        """Earlier attempts at the run that is to begin: what it was asked is said elsewhere."""
        self._open = _Chapter(["## Earlier attempts at the message that follows"], [])
        self._room -= _size(self._open.lines())

    def begin(self, run: ToldRun) -> bool:
        """False: there is no room even for what was asked."""
        chapter = _Chapter(
            above=[
                f"## {run.at:%Y-%m-%d %H:%M} UTC",
                self._said("A person", run.prompt, run.prompt_length),
            ],
            below=[_ended(run)],
        )
        size = _size(chapter.lines())
        if size > self._room:
            return False
        self._room -= size
        self._open = chapter
        self._chapters.append(chapter)
        self.runs += 1
        return True

    def add(self, event: AnyEvent) -> bool:
        """False: no room is left, and nothing older of this session can be told."""
        entry = self._entry(event)
        if entry is None:
            return True
        if _size([entry]) > self._room:
            self.cut_off()
            return False
        self._room -= _size([entry])
        self._open.entries.append(entry)
        self._open.acts += not isinstance(event, RunRetrying)
        return True

    def cut_off(self) -> None:
        """The run's earlier events are not told."""
        if self._open.whole:
            self._room -= _size(["_Earlier steps are left out._"])
        self._open.whole = False

    def end(self, run: ToldRun) -> None:
        """Where the log no longer holds what the agent said, its last message is kept elsewhere."""
        if run.output and not run.cut and not self._open.entries:
            entry = self._said("The agent", run.output, run.output_length)
            if _size([entry]) <= self._room:
                self._room -= _size([entry])
                self._open.entries.append(entry)

    def end_own(self) -> None:
        """Attempts of which nothing is known are not told of."""
        if self._open.acts:
            self._chapters.append(self._open)
            self.runs += 1
        else:
            self._room += _size(self._open.lines())

    def text(self, left_out: int) -> str:
        lines = [_left_out(left_out)] if left_out else []
        for chapter in reversed(self._chapters):
            lines += chapter.lines()
        return "\n\n".join(lines)

    # --- one event ---------------------------------------------------------------------------

    def _entry(self, event: AnyEvent) -> str | None:
        match event:
            case MessageStop():
                return self._said("The agent", event.text) if event.text.strip() else None
            case ToolResult():
                _wait(self._open.outcomes, event.call_id, event.status)
            case ToolUpdate() if event.title:
                _wait(self._open.titles, event.call_id, _line(event.title))
            case ToolCall():
                return self._called(event)
            case HumanLoopResolved():
                _wait(self._open.decisions, event.request_id, event)
            case HumanLoopRequested():
                return self._asked(event)
            case RunRetrying():
                why = _line(f"{event.reason} {event.detail}".strip())
                return f"_This attempt was interrupted ({why}); the next one went on._"
            case _:
                pass
        return None

    def _called(self, call: ToolCall) -> str:
        title = self._open.titles.pop(call.call_id, call.title)
        outcome = self._open.outcomes.pop(call.call_id, "its outcome is not known")
        return f"- The agent used a tool: {_line(title or call.tool or call.tool_kind)} ({outcome})"

    def _asked(self, asked: HumanLoopRequested) -> str | None:
        if asked.reattached:
            # told where it was asked first
            return None
        entry = f"- The agent asked a person: {_line(asked.title)}"
        decided = self._open.decisions.pop(asked.request_id, None)
        if decided is None:
            return f"{entry} (nobody answered)"
        if said := decided.text or _json(decided.content):
            return f"{entry}\n\n{self._said('A person answered', said)}"
        return f"{entry} ({_decision(asked, decided)})"

    def _said(self, who: str, text: str, length: int | None = None) -> str:
        kept = text.encode()[: self._longest].decode(errors="ignore")
        lost = (len(text) if length is None else length) - len(kept)
        cut = f"\n[{lost} more characters are left out]" if lost else ""
        return f"**{who}:**\n\n{_quoted(kept.strip() + cut)}"


def read(payload: str) -> AnyEvent | None:
    """None for what another version wrote and this one cannot read."""
    try:
        return msgspec.json.decode(payload, type=AnyEvent)
    except msgspec.MsgspecError:
        return None


def _wait(known: dict[K, V], key: K, said: V) -> None:
    """What is said last counts, and that is met first."""
    known.setdefault(key, said)
    if len(known) > MAX_OPEN:
        del known[next(iter(known))]


def _decision(asked: HumanLoopRequested, decided: HumanLoopResolved) -> str:
    if decided.outcome == "withdrawn":
        return "withdrawn, unanswered"
    names = {option.id: _line(option.name) for option in asked.options}
    chosen = names.get(decided.option_id or "") or "answered"
    return _DECIDED.get(decided.option_kind or "", chosen)


def _json(content: object) -> str:
    return "" if content is None else msgspec.json.encode(content).decode()


def _ended(run: ToldRun) -> str:
    if run.cut:
        return "_The session goes on from here._"
    because = run.reason if run.reason and run.reason != "completed" else ""
    why = _line(": ".join(part for part in (because, run.detail) if part))
    return f"_This ended: {run.state}{f' ({why})' if why else ''}._"


def _left_out(runs: int) -> str:
    return f"_{runs} earlier {'message is' if runs == 1 else 'messages are'} left out._"


def _line(text: str) -> str:
    return " ".join(text.split())[:MAX_LINE]


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _size(blocks: Sequence[str]) -> int:
    """With the empty lines between them."""
    return sum(len(block.encode()) + 2 for block in blocks)
