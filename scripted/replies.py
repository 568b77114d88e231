"""What the scripted model answers: the newest user message that carries a script decides.

`<<SCRIPT[{reply}, …]SCRIPT>>`: the n-th reply is given to the n-th request after that message, so
that one script carries an agent through a whole turn with its tool calls. A reply's fields:

| field | what happens |
|---|---|
| `think`, `text` | streamed word by word, `delay` seconds apart |
| `tools` [[name, arguments], …] | tool calls; `{cwd}` in them stands for the agent's directory |
| `recall` pattern | says what the pattern's first group finds in the earlier conversation |
| `usage` [in, out, cached] | tokens |
| `status`, `body` | an error instead of an answer |
| `hang` seconds, `die_after` pieces | silence before the answer; the connection cut in the middle |
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

_SCRIPT = re.compile(r"<<SCRIPT(.*?)SCRIPT>>", re.DOTALL)


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    think: str = ""
    text: str = ""
    tools: list[tuple[str, dict[str, Any]]] = msgspec.field(
        default_factory=list[tuple[str, dict[str, Any]]]
    )
    recall: str = ""
    usage: tuple[int, int, int] = (100, 20, 50)
    delay: float = 0.0
    status: int = 0
    body: dict[str, Any] | None = None
    hang: float = 0.0
    die_after: int | None = None


@dataclass(frozen=True, slots=True)
class Said:
    role: str
    """user, assistant, or tool for a tool's result."""
    text: str


def reply_to(conversation: list[Said]) -> tuple[Reply, int]:
    """The reply and which of its script it is; -1 without a script."""
    found = _newest_script(conversation)
    if found is None:
        return Reply(text="I am a scripted model, and this message has no script."), -1
    script, since = found
    step = _answers(conversation[since + 1 :])
    if step >= len(script):
        return Reply(text="My script has ended."), step
    reply = script[step]
    if reply.recall:
        reply = msgspec.structs.replace(reply, text=_recalled(conversation[:since], reply.recall))
    return reply, step


def _newest_script(conversation: list[Said]) -> tuple[list[Reply], int] | None:
    for index in range(len(conversation) - 1, -1, -1):
        said = conversation[index]
        scripts = _SCRIPT.findall(said.text) if said.role == "user" else []
        if scripts:
            return _parse(scripts[-1]), index
    return None


def _parse(script: str) -> list[Reply]:
    try:
        return msgspec.json.decode(script, type=list[Reply])
    except msgspec.DecodeError as error:
        return [Reply(text=f"The script is wrong: {error}")]


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


def in_directory(arguments: dict[str, Any], cwd: str) -> dict[str, Any]:
    """`{cwd}` in the texts of a tool's arguments."""
    return {
        name: value.replace("{cwd}", cwd) if isinstance(value, str) else value
        for name, value in arguments.items()
    }
