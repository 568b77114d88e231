"""Examples that the API's description shows."""

from typing import Any

_SESSION = "0197f2a0-0000-7000-8000-0000000000a1"
_RUN = "0197f2a0-0000-7000-8000-0000000000b2"
_PROJECT = "0197f2a0-0000-7000-8000-0000000000c3"
_JOB = "0197f2a0-0000-7000-8000-0000000000d4"
_AT = "2026-01-01T12:00:00Z"

EXAMPLES: dict[str, Any] = {
    "CreateSession": {"title": "Fix the flaky test", "agent": "scripted"},
    "CreateRun": {"text": "Say hello", "agent": "scripted"},
    "SendMessage": {"text": "Now do the same for the other file"},
    "PatchSession": {"title": "A better name"},
    "CreateTask": {"title": "Upgrade the parser", "description": "To the newest major version"},
    "PatchTask": {"expected_version": 3, "state": "done"},
    "RunTask": {},
    "Reply": {"decision": "allow"},
    "FinishTask": {"session_id": _SESSION, "summary": "The parser is upgraded; all tests pass"},
    "BlockTask": {"session_id": _SESSION, "reason": "No access to the package index"},
    "RequestInput": {
        "session_id": _SESSION,
        "question": "Which version shall the parser have?",
        "options": ["The newest", "The one before"],
    },
    "ToolAnswer": {
        "accepted": True,
        "duplicate": False,
        "text": "Noted: the work is done, and goes to review when this turn has ended.",
    },
    "CreateKey": {"name": "ci"},
    "CreateProject": {"name": "default"},
    "RemoveSessionWorker": {"force": False},
    "PatchSessionWorker": {"cpus": 2, "memory_mib": 4096, "disk_mib": None, "keep_warm": True},
    "SessionWorkerSettings": {
        "session_id": _SESSION,
        "limits": {"cpus": 2, "memory_mib": 4096, "disk_mib": 20480, "pids": None},
        "own": {"cpus": 2, "memory_mib": 4096, "disk_mib": None, "pids": None},
        "keep_warm": True,
        "applies": "next_worker",
    },
    "CreateApp": {
        "name": "big builds",
        "agent": "scripted",
        "worker_limits": {"cpus": 4, "memory_mib": 8192, "disk_mib": 20480},
        "container": {"image": "berth-executor-data:2", "tier": "trusted"},
    },
    "AskedEgress": {
        "profile": "custom",
        "packages": True,
        "hosts": [{"host": "api.example.org", "port": 443}],
        "repositories": [{"host": "git.example.org", "path": "berth/docs", "push": False}],
        "mib_per_hour": 512,
    },
    "PatchManager": {"expected_version": 3, "max_workers": 4, "draining": False},
    "PatchQuota": {"max_workers": 5, "max_queued": 200, "runs_per_hour": None},
    "PatchDefaultLimits": {"user": {"max_workers": 3, "runs_per_hour": 60}},
    "PutModelUpstream": {
        "url": "https://api.anthropic.com",
        "formats": ["messages"],
        "models": ["claude-sonnet-4-5"],
        "key": "sk-ant-…",
        "auth": "x-api-key",
    },
    "PatchApp": {"worker_limits": {"cpus": 2}},
    "Job": {
        "id": _JOB,
        "project_id": _PROJECT,
        "kind": "cleanup_idle",
        "state": "running",
        "counts": {"considered": 7, "stopped": 3, "stopping": 2, "busy": 1, "kept_warm": 1},
        "created_at": _AT,
    },
    "Session": {
        "id": _SESSION,
        "project_id": _PROJECT,
        "title": "Fix the flaky test",
        "agent": "scripted",
        "state": "active",
        "last_seq": 1,
        "created_at": _AT,
        "updated_at": _AT,
    },
    "Run": {
        "id": _RUN,
        "session_id": _SESSION,
        "project_id": _PROJECT,
        "agent": "scripted",
        "state": "queued",
        "attempt": 1,
        "failures": 0,
        "place": 0,
        "created_at": _AT,
    },
    "Problem": {
        "type": "about:blank",
        "title": "The request is not valid",
        "status": 400,
        "code": "validation_failed",
        "detail": "text: expected `str`",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "details": {"field": "text", "expected": "`str`"},
    },
}
"""By the name of the type."""

STREAM_EXAMPLE = (
    "retry: 1000\n\n"
    "id: 0197f2a00000700080000000000000a1.7\n"
    "event: message.delta\n"
    'data: {"id":"0197f2a00000700080000000000000a1.7","seq":7,'
    f'"session_id":"{_SESSION}","run_id":"{_RUN}","attempt":1,"epoch":1,"at":"{_AT}",'
    '"trace_id":"","event":{"kind":"message.delta","message_id":"m1","text":"Hel"}}\n\n'
)
