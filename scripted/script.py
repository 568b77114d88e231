"""The scenario language: what a prompt makes the scripted agent do.

A prompt's last text is the message, what stands before it is context: kept, and known to `recall`,
never carried out. The message carries its script as `<<SCRIPT[{step}, …]SCRIPT>>`. Each step is an
object with one action and its options:

| action | options | what happens |
|---|---|---|
| `think`, `text` | `delay` seconds between chunks, `chunks` | streamed |
| `plan` [{content, status}] | | a plan update |
| `write` {path, content} | `ask` | a tool call with a diff; the file is really written |
| `shell` command | `ask`, `detach` | a tool call with output; `detach` leaves a daemon behind |
| `ask_user` text or {message, schema} | | a form, if the client can show one; the answer is said |
| `remember` {key, value}, `recall` key | | kept in, and told from, the session's own store |
| `sleep` seconds, `stderr` bytes, `ignore_sigterm` | | |
| `crash` exit code | `always`, `once` | the process dies |
| `hang` true or "deaf" | `always`, `once` | silence; "deaf" ignores cancel and a closed stdin |
| `usage` {input, output, cost} | | a usage update, summed into the turn's result |
| `model` {say, replies, format, model, retries, ignore_cut} | | one call of a model: below |
| `tool` {name, arguments, server} | `ask` | a tool of a server that the client named is called |
| `effect` {path or url, key} | | one line in a ledger outside, for a test to count |
| `stop_reason` text, `error` {code, message, data} | | ends the turn so |
| `raw` update | | sent as it is |

`model` streams `say`, and `replies` behind it as a script for the scripted model, to the model
gateway (`BERTH_MODEL_BASE_URL`) in `format` messages, responses or chat, and says what comes back.
A call that is refused, cut or fails is made again `retries` times, and is the turn's error then,
unless `ignore_cut`: the turn goes on as though it were fine. Tool calls in the answer are not made.
After such an error a session that is told to go on makes the call again.

A step is recorded when it is complete. `crash` and `hang` count as complete before they happen, so
that a continued script goes on after them, unless `always`; `once` names a file outside the saved
tree: the step does nothing if that file exists, and makes it first, so that even a restored older
store does not repeat it.
"""

import re
from typing import Any

import msgspec

from scripted.model_call import ModelCall
from scripted.served_tool import ToolUse

_SCRIPT = re.compile(r"<<SCRIPT(.*?)SCRIPT>>", re.DOTALL)
_REMEMBER = re.compile(
    r"remember\s+(?P<key>[\w.-]+)\s*(?:=|\s+is\s+)\s*(?P<value>[\w.-]+)", re.IGNORECASE
)
_RECALL = re.compile(r"(?:recall|what\s+is|what's)\s+(?P<key>[\w.-]+)", re.IGNORECASE)


class PlanEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    content: str
    status: str = "pending"
    priority: str = "medium"


class WriteFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    content: str


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    message: str
    schema: dict[str, Any] | None = None


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    value: str


class Usage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    input: int = 0
    output: int = 0
    cost: float | None = None


class Effect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    path: str | None = None
    url: str | None = None


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: int = -32603
    message: str = "scripted error"
    data: dict[str, Any] | None = None


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    think: str | None = None
    text: str | None = None
    plan: list[PlanEntry] | None = None
    write: WriteFile | None = None
    shell: str | None = None
    ask_user: Question | str | None = None
    remember: Memory | None = None
    recall: str | None = None
    sleep: float | None = None
    crash: int | None = None
    hang: bool | str | None = None
    ignore_sigterm: bool | None = None
    stderr: int | None = None
    usage: Usage | None = None
    stop_reason: str | None = None
    error: Failure | None = None
    effect: Effect | None = None
    model: ModelCall | None = None
    tool: ToolUse | None = None
    raw: dict[str, Any] | None = None
    delay: float = 0.0
    chunks: int = 0
    ask: bool = False
    detach: bool = False
    always: bool = False
    once: str | None = None


ACTIONS = (
    "think", "text", "plan", "write", "shell", "ask_user", "remember", "recall", "sleep", "crash",
    "hang", "ignore_sigterm", "stderr", "usage", "stop_reason", "error", "effect", "model",
    "tool", "raw",
)  # fmt: skip


def action_of(step: Step) -> str:
    """Raises ValueError unless the step has exactly one action."""
    found = [name for name in ACTIONS if getattr(step, name) is not None]
    if len(found) != 1:
        raise ValueError(f"a step has one action, this one has {found or 'none'}")
    return found[0]


def parse(prompt: str) -> list[Step] | None:
    """The last script in the prompt, or None if it has none. Raises ValueError for one that is
    wrong.
    """
    scripts = _SCRIPT.findall(prompt)
    if not scripts:
        return None
    try:
        steps = msgspec.json.decode(scripts[-1], type=list[Step])
    except msgspec.DecodeError as error:
        raise ValueError(f"the script is wrong: {error}") from error
    for step in steps:
        action_of(step)
    return steps


def remembered(text: str) -> dict[str, str]:
    """What somebody asked in it to be remembered."""
    return {match["key"]: match["value"] for match in _REMEMBER.finditer(text)}


def friendly(prompt: str, *, memory: dict[str, str]) -> list[Step]:
    """What the agent does with a prompt that a person typed without a script."""
    steps = [
        Step(remember=Memory(key=key, value=value)) for key, value in remembered(prompt).items()
    ]
    asked = [match["key"] for match in _RECALL.finditer(prompt) if match["key"] in memory]
    steps += [Step(recall=key) for key in asked]
    if steps:
        return steps
    if match := re.search(r"\brecall\s+([\w.-]+)", prompt, re.IGNORECASE):
        return [Step(recall=match[1])]
    heard = " ".join(prompt.split())[:200]
    return [
        Step(text=f"I am the scripted agent, and I heard: {heard}\n"),
        Step(text="Tell me `remember KEY=VALUE`, ask me `recall KEY`, or give me a script."),
    ]
