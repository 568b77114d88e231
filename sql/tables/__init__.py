"""The tables as SQLAlchemy Core metadata: for migrations, and for lists with many filters.

Every row that a person can see carries `project_id`, and every foreign key between such rows
includes it. Time is `now()`.
"""

from sql.tables.columns import metadata
from sql.tables.duties import job_members, jobs, loop_ticks, outbox
from sql.tables.git import git_credentials
from sql.tables.human_loop import human_loop_requests
from sql.tables.models import model_calls, model_upstreams
from sql.tables.packs import collections, packs, snapshot_packs
from sql.tables.project_files import project_file_rules, project_files, project_objects
from sql.tables.projects import (
    api_keys,
    apps,
    audit,
    default_limits,
    idempotency_keys,
    memberships,
    projects,
    run_starts,
    users,
)
from sql.tables.runs import run_payloads, runs, todos, usage
from sql.tables.sessions import branches, events, sessions, snapshots, streams
from sql.tables.tasks import task_dependencies, tasks
from sql.tables.tools import tool_calls
from sql.tables.verifications import (
    verification_findings,
    verification_packs,
    verification_snapshots,
    verifications,
)
from sql.tables.workers import commands, managers, session_workers, tickets

__all__ = [
    "api_keys",
    "apps",
    "audit",
    "branches",
    "collections",
    "commands",
    "default_limits",
    "events",
    "git_credentials",
    "human_loop_requests",
    "idempotency_keys",
    "job_members",
    "jobs",
    "loop_ticks",
    "managers",
    "memberships",
    "metadata",
    "model_calls",
    "model_upstreams",
    "outbox",
    "packs",
    "project_file_rules",
    "project_files",
    "project_objects",
    "projects",
    "run_payloads",
    "run_starts",
    "runs",
    "session_workers",
    "sessions",
    "snapshot_packs",
    "snapshots",
    "streams",
    "task_dependencies",
    "tasks",
    "tickets",
    "todos",
    "tool_calls",
    "usage",
    "users",
    "verification_findings",
    "verification_packs",
    "verification_snapshots",
    "verifications",
]
