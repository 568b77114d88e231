"""What the scripted model answers: the newest user message that carries a script decides.

`<<SCRIPT[{reply}, …]SCRIPT>>`: the n-th reply is given to the n-th request after that message, so
that one script carries an agent through a whole turn with its tool calls. A file of
`[{"when": pattern, "replies": [{reply}, …]}, …]` does the same for messages without a script: the
newest one that a pattern is found in. A reply's fields:

| field | what happens |
|---|---|
| `think`, `text` | streamed word by word, `delay` seconds apart |
| `tools` [[name, arguments, namespace], …] | tool calls, several at once; arguments are an object, or a text for a free-form tool; `{cwd}` in them stands for the agent's directory |
| `recall` pattern | says what the pattern's first group finds in the earlier conversation |
| `usage` [input, output, cached, thought, written] | tokens; see `Tokens` |
| `hang` seconds | silence before the answer |
| `status`, `body`, `retry_after` seconds | an error instead of an answer |
| `die_at_once` | the connection is closed before the first byte |
| `die_after` pieces, `quiet` | cut in the middle of what is said; `quiet`: as HTTP it ends well |
| `fail_after` pieces | the stream goes on with the provider's own event of an error |
| `times` n | the first n requests for this reply get its trouble (`hang` … `fail_after`), later ones none |
"""  # noqa: E501 - a table

import re
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgspec

_SCRIPT = re.compile(r"<<SCRIPT(.*?)SCRIPT>>", re.DOTALL)


class Call(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: str
    arguments: dict[str, Any] | str
    namespace: str = ""


class Tokens(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    input: int = 0
    """Without what was read from a cache."""
    output: int = 0
    """All of it, thoughts included."""
    cached: int = 0
    thought: int = 0
    """That part of the output."""
    written: int = 0
    """That part of the input: put into a cache."""


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    think: str = ""
    text: str = ""
    tools: list[Call] = msgspec.field(default_factory=list[Call])
    recall: str = ""
    usage: Tokens = Tokens(100, 20, 50)
    delay: float = 0.0
    hang: float = 0.0
    status: int = 0
    body: dict[str, Any] | None = None
    retry_after: float | None = None
    die_at_once: bool = False
    die_after: int | None = None
    quiet: bool = False
    fail_after: int | None = None
    times: int = 0


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    replies: list[Reply]
    when: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    role: str
    """user, assistant, tool for a tool's result, or one of the provider's own."""
    text: str


class Scenario:
    def __init__(self, parts: list[Part] | None = None) -> None:
        self._parts = parts or []
        self._troubles: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()

    def reply_to(self, conversation: list[Said]) -> tuple[Reply, int]:
        """The reply and which of its script it is; -1 without a script."""
        found = self._newest(conversation)
        if found is None:
            return Reply(text="I am a scripted model, and this message has no script."), -1
        script, since = found
        step = _answers(conversation[since + 1 :])
        if step >= len(script):
            return Reply(text="My script has ended."), step
        reply = script[step]
        if reply.recall:
            recalled = _recalled(conversation[:since], reply.recall)
            reply = msgspec.structs.replace(reply, text=recalled)
        if reply.times and not self._still_in_trouble((conversation[since].text, step), reply):
            reply = _healthy(reply)
        return reply, step

    def _newest(self, conversation: list[Said]) -> tuple[list[Reply], int] | None:
        for index in range(len(conversation) - 1, -1, -1):
            said = conversation[index]
            if said.role == "user" and (script := self._script_for(said.text)) is not None:
                return script, index
        return None

    def _script_for(self, text: str) -> list[Reply] | None:
        if scripts := _SCRIPT.findall(text):
            return _parse(scripts[-1])
        return next((part.replies for part in self._parts if re.search(part.when, text)), None)

    def _still_in_trouble(self, key: tuple[str, int], reply: Reply) -> bool:
        """Counted by the message with the script: an agent that is started again is the same."""
        with self._lock:
            self._troubles[key] += 1
            return self._troubles[key] <= reply.times


def parse_parts(content: bytes) -> list[Part]:
    """Raises `msgspec.DecodeError`, or `re.error` for a bad pattern."""
    parts = msgspec.json.decode(content, type=list[Part])
    for part in parts:
        re.compile(part.when)
    return parts


def _parse(script: str) -> list[Reply]:
    try:
        return msgspec.json.decode(script, type=list[Reply])
    except msgspec.DecodeError as error:
        return [Reply(text=f"The script is wrong: {error}")]


def _healthy(reply: Reply) -> Reply:
    return msgspec.structs.replace(
        reply, hang=0.0, status=0, die_at_once=False, die_after=None, fail_after=None
    )


def _answers(conversation: list[Said]) -> int:
    """One answer may be several assistant messages in a row."""
    roles = [said.role for said in conversation if said.role in {"assistant", "tool"}]
    return sum(
        role == "assistant" and (index == 0 or roles[index - 1] != "assistant")
        for index, role in enumerate(roles)
    )


def _recalled(past: list[Said], pattern: str) -> str:
    for said in reversed(past):
        if match := re.search(pattern, said.text):
            return match[1]
    return "I do not remember it."
