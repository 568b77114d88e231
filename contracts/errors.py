"""Every error code that leaves a service, with its HTTP status: the one table.

A code is stable; its title may change. `retry` says whether the same call can succeed later without
a change.
"""

import enum
from typing import Any, NamedTuple

import msgspec

from contracts.wire import Wire


class Code(enum.StrEnum):
    VALIDATION = "validation_failed"
    BAD_CURSOR = "bad_cursor"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    TICKET_INVALID = "ticket_invalid"
    SENSITIVE_PATH = "sensitive_path"
    NOT_FOUND = "not_found"
    SESSION_NOT_FOUND = "session_not_found"
    RUN_NOT_FOUND = "run_not_found"
    TASK_NOT_FOUND = "task_not_found"
    APP_NOT_FOUND = "app_not_found"
    AGENT_NOT_FOUND = "agent_not_found"
    PROJECT_NOT_FOUND = "project_not_found"
    REQUEST_NOT_FOUND = "request_not_found"
    WORKER_NOT_FOUND = "worker_not_found"
    JOB_NOT_FOUND = "job_not_found"
    MANAGER_NOT_FOUND = "manager_not_found"
    USER_NOT_FOUND = "user_not_found"
    SNAPSHOT_NOT_FOUND = "snapshot_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    VERSION_CONFLICT = "version_conflict"
    IDEMPOTENCY_CONFLICT = "idempotency_key_reused"
    ILLEGAL_TRANSITION = "illegal_transition"
    SESSION_BUSY = "session_busy"
    SESSION_ARCHIVED = "session_archived"
    DEPENDENCY_CYCLE = "dependency_cycle"
    WORKER_NOT_RUNNING = "worker_not_running"
    WORKER_UNREACHABLE = "worker_unreachable"
    WORKSPACE_READ_ONLY = "workspace_read_only"
    STALE_EPOCH = "stale_epoch"
    STALE_ATTEMPT = "stale_attempt"
    STALE_INCARNATION = "stale_incarnation"
    ALREADY_FINISHED = "already_finished"
    EXPECTED_SEQ = "expected_seq"
    HEAD_MOVED = "head_moved"
    WORKER_NOT_RELEASED = "worker_not_released"
    SNAPSHOT_DAMAGED = "snapshot_damaged"
    SNAPSHOT_PACKS_GONE = "snapshot_packs_gone"
    GRANT_TAKEN = "grant_already_taken"
    CURSOR_EXPIRED = "cursor_expired"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA = "unsupported_media_type"
    RANGE = "range_not_satisfiable"
    REQUIRED_PATHS_MISSING = "required_paths_missing"
    RATE_LIMITED = "rate_limited"
    LIMIT_REACHED = "limit_reached"
    INTERNAL = "internal"
    DEPENDENCY_UNAVAILABLE = "dependency_unavailable"
    UPSTREAM_TIMEOUT = "upstream_timeout"


class Rendering(NamedTuple):
    status: int
    title: str
    retry: bool = False


RENDERINGS: dict[Code, Rendering] = {
    Code.VALIDATION: Rendering(400, "The request is not valid"),
    Code.BAD_CURSOR: Rendering(400, "The cursor does not belong here"),
    Code.UNAUTHENTICATED: Rendering(401, "A valid API key is needed"),
    Code.FORBIDDEN: Rendering(403, "Your role does not allow this"),
    Code.TICKET_INVALID: Rendering(403, "The ticket is used, over, or for somebody else"),
    Code.SENSITIVE_PATH: Rendering(403, "Files of this name need a permission of their own"),
    Code.NOT_FOUND: Rendering(404, "There is nothing here"),
    Code.SESSION_NOT_FOUND: Rendering(404, "No such session"),
    Code.RUN_NOT_FOUND: Rendering(404, "No such run"),
    Code.TASK_NOT_FOUND: Rendering(404, "No such task"),
    Code.APP_NOT_FOUND: Rendering(404, "No such app"),
    Code.AGENT_NOT_FOUND: Rendering(404, "No such agent"),
    Code.PROJECT_NOT_FOUND: Rendering(404, "No such project"),
    Code.REQUEST_NOT_FOUND: Rendering(404, "No such request"),
    Code.WORKER_NOT_FOUND: Rendering(404, "No such worker"),
    Code.JOB_NOT_FOUND: Rendering(404, "No such job"),
    Code.MANAGER_NOT_FOUND: Rendering(404, "No such manager"),
    Code.USER_NOT_FOUND: Rendering(404, "No such user"),
    Code.SNAPSHOT_NOT_FOUND: Rendering(404, "The session has no such snapshot"),
    Code.METHOD_NOT_ALLOWED: Rendering(405, "This method is not allowed here"),
    Code.CONFLICT: Rendering(409, "The state does not allow this"),
    Code.VERSION_CONFLICT: Rendering(409, "It was changed meanwhile"),
    Code.IDEMPOTENCY_CONFLICT: Rendering(409, "The Idempotency-Key was used with another body"),
    Code.ILLEGAL_TRANSITION: Rendering(409, "This transition is not legal"),
    Code.SESSION_BUSY: Rendering(409, "The session has a live run"),
    Code.SESSION_ARCHIVED: Rendering(409, "The session is archived"),
    Code.DEPENDENCY_CYCLE: Rendering(409, "The dependencies would form a cycle"),
    Code.WORKER_NOT_RUNNING: Rendering(409, "The session has no running worker", retry=True),
    Code.WORKER_UNREACHABLE: Rendering(409, "The worker's host takes no such calls"),
    Code.WORKSPACE_READ_ONLY: Rendering(409, "Only the last snapshot is there", retry=True),
    Code.STALE_EPOCH: Rendering(409, "The worker was superseded"),
    Code.STALE_ATTEMPT: Rendering(409, "The attempt is over"),
    Code.STALE_INCARNATION: Rendering(409, "The manager was superseded"),
    Code.ALREADY_FINISHED: Rendering(409, "It has ended already"),
    Code.EXPECTED_SEQ: Rendering(409, "The report leaves a gap"),
    Code.HEAD_MOVED: Rendering(409, "The session's head is another one by now"),
    Code.WORKER_NOT_RELEASED: Rendering(409, "The session's worker is still there", retry=True),
    Code.SNAPSHOT_DAMAGED: Rendering(409, "The snapshot cannot be read"),
    Code.SNAPSHOT_PACKS_GONE: Rendering(409, "Packs that the snapshot names are gone"),
    Code.GRANT_TAKEN: Rendering(409, "The answer was delivered already"),
    Code.CURSOR_EXPIRED: Rendering(410, "The cursor is older than what is kept"),
    Code.TOO_LARGE: Rendering(413, "The body is too large"),
    Code.UNSUPPORTED_MEDIA: Rendering(415, "This content type is not understood"),
    Code.RANGE: Rendering(416, "The range lies outside the file"),
    Code.REQUIRED_PATHS_MISSING: Rendering(422, "Paths that the app requires are missing"),
    Code.RATE_LIMITED: Rendering(429, "Too many requests", retry=True),
    Code.LIMIT_REACHED: Rendering(429, "A limit set by an administrator is reached", retry=True),
    Code.INTERNAL: Rendering(500, "An unexpected error", retry=True),
    Code.DEPENDENCY_UNAVAILABLE: Rendering(503, "Something this needs is missing", retry=True),
    Code.UPSTREAM_TIMEOUT: Rendering(504, "The service did not answer in time", retry=True),
}


class Problem(Wire, frozen=True, kw_only=True):
    """An error body: RFC 9457 problem details (`application/problem+json`)."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str = ""
    trace_id: str = ""
    details: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    """Per code: `validation_failed` {field, expected, rule if one refused}; `expected_seq` {seq};
    `required_paths_missing` {missing};
    `dependency_unavailable` {missing: [{what, how}]}; `illegal_transition` {state, legal};
    `rate_limited` {retry_after}; `sensitive_path` {path, pattern};
    `limit_reached` {limit, of, allowed, retry_after}."""
