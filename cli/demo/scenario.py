"""What the demo asks of an agent: told a secret in the first turn, asked for it in the second."""

import json
import secrets
from dataclasses import dataclass, field

from contracts.runs import RunOptions

MODEL = "scripted-1"
KEPT_FILE = "notes/voyage.md"
GUARDED_FILE = "approvals.log"
"""Appended to by a command that has to be approved: one line, if it ran once."""

_CONTENT = """# The voyage

1. Cast off
2. Cross the bay
3. Make fast at another berth
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    agent: str
    nonce: str
    first: str
    second: str
    needs_model: bool = False
    """A real agent: its model is the scripted one."""
    kept_file: str = KEPT_FILE
    kept_content: str = _CONTENT
    guarded_file: str = GUARDED_FILE
    options: RunOptions = field(default_factory=RunOptions)


def scripted() -> Scenario:
    nonce = secrets.token_hex(16)
    steps: list[dict[str, object]] = [
        {"text": "Ahoy. I plan a short voyage, and write it down.\n"},
        {"think": "Three steps will do."},
        {"plan": _plan("in_progress", "pending", "pending")},
        {"write": {"path": KEPT_FILE, "content": _CONTENT}},
        {"plan": _plan("completed", "in_progress", "pending")},
        {"shell": f"echo approved >> {GUARDED_FILE}", "ask": True},
        {"plan": _plan("completed", "completed", "in_progress")},
        {"remember": {"key": "password", "value": nonce}},
        {"plan": _plan("completed", "completed", "completed")},
        {"text": "Everything is written down.\n"},
    ]
    return Scenario(
        agent="scripted",
        nonce=nonce,
        first=f"Plan a voyage, and keep the password.\n<<SCRIPT{json.dumps(steps)}SCRIPT>>",
        second="recall password",
    )


def claude_code() -> Scenario:
    """The real agent; what its model says is scripted, and comes through the whole of it."""
    nonce = secrets.token_hex(16)
    subjects = ("Write the plan", "Run a command")
    first: list[dict[str, object]] = [
        {"think": "Two steps will do.", "text": "Ahoy. I plan a short voyage."},
        # each task has to be there before it can be updated
        *({"tools": [["TaskCreate", {"subject": one, "description": one}]]} for one in subjects),
        {"tools": [["Write", {"file_path": f"{{cwd}}/{KEPT_FILE}", "content": _CONTENT}]]},
        {"tools": [["TaskUpdate", {"taskId": "1", "status": "completed"}]]},
        # plain redirections into the workspace pass unasked in this mode, a shell's do not
        {"tools": [["Bash", {"command": f"sh -c 'echo approved >> {GUARDED_FILE}'"}]]},
        {"tools": [["TaskUpdate", {"taskId": "2", "status": "completed"}]]},
        {"text": "Everything is written down."},
    ]
    first[0]["tools"] = first.pop(1)["tools"]
    second = [{"recall": r"password is (\w+)"}]
    return Scenario(
        agent="claude-code",
        nonce=nonce,
        first=f"Plan a voyage; the password is {nonce}.\n<<SCRIPT{json.dumps(first)}SCRIPT>>",
        second=f"What is the word I told you?\n<<SCRIPT{json.dumps(second)}SCRIPT>>",
        needs_model=True,
        options=RunOptions(mode="edits", model=MODEL),
    )


def _plan(*states: str) -> list[dict[str, str]]:
    tasks = ("Write the plan", "Ask before the command", "Keep the password")
    return [{"content": task, "status": state} for task, state in zip(tasks, states, strict=True)]
