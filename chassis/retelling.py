"""An error that another service told, told on as our own."""

import msgspec

from chassis.errors import BerthError
from contracts.errors import Code, Problem

LONGEST = 64 * 1024
"""Bytes of an error's body that are read."""

OURS = frozenset({Code.UNAUTHENTICATED, Code.INTERNAL, Code.METHOD_NOT_ALLOWED})
"""What they say of our own call: no business of our caller's."""

_KNOWN = {code.value: code for code in Code}


def retold(problem: Problem | None) -> BerthError | None:
    """None: it says nothing that our caller could use."""
    code = _KNOWN.get(problem.code) if problem is not None else None
    if problem is None or code is None or code in OURS:
        return None
    after = problem.details.get("retry_after")
    seconds = float(after) if isinstance(after, int | float) else None
    error = BerthError(code, problem.detail, retry_after=seconds)
    error.details = problem.details
    return error


def problem_in(body: bytes) -> Problem | None:
    try:
        return msgspec.json.decode(body, type=Problem)
    except msgspec.MsgspecError:
        return None
