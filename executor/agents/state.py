"""Whether an agent's own session store holds a session, whole enough to resume it."""

import glob
import json
import os
import stat
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
    if check.format == "any":
        return None
    return next((why for path in found if (why := _broken_lines(path, check))), None)


def _broken_lines(path: Path, check: StateCheck) -> str | None:
    # the agent's: a pipe must not hold us, nor a device fill our memory
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return "the agent's session store is not a file"
    with os.fdopen(descriptor, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip() or _is_json(line):
                continue
            if line.endswith(b"\n"):
                return f"line {number} of the agent's session store is broken"
            if check.torn_tail == "broken":
                return "the agent's session store is cut off in its last line"
    return None


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
