"""Whether an agent's own session store holds a session, whole enough to resume it."""

import glob
import json
from pathlib import Path

from executor.agents.profile import Profile, StateCheck


def broken_state(profile: Profile, *, home: Path, session_id: str) -> str | None:
    """Why the session cannot be resumed; None if it can, as far as one can see from outside."""
    check = profile.state_check
    if check is None:
        return None
    pattern = check.pattern.format(session_id=glob.escape(session_id))
    found = sorted(home.glob(pattern))
    if not found:
        return "the agent's own session is not in its store"
    return next((why for path in found if (why := _broken_lines(path, check))), None)


def _broken_lines(path: Path, check: StateCheck) -> str | None:
    lines = path.read_bytes().split(b"\n")
    tail = lines.pop()
    for number, line in enumerate(lines, start=1):
        if line.strip() and not _is_json(line):
            return f"line {number} of the agent's session store is broken"
    if check.torn_tail == "broken" and tail.strip() and not _is_json(tail):
        return "the agent's session store is cut off in its last line"
    return None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
