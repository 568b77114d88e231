"""The database's enums: the same words as Python's."""

from sqlalchemy import Enum

from contracts.human_loop import RequestState
from contracts.jobs import JobKind
from contracts.runs import RunState
from contracts.sessions import SessionState
from contracts.snapshots import SnapshotKind
from contracts.tasks import TaskState
from contracts.workers import WorkerState
from sql.tables.columns import metadata


def _values(members: type) -> list[str]:
    return [member.value for member in members]  # type: ignore[attr-defined] # an enum's class is iterable


run_state = Enum(RunState, name="run_state", values_callable=_values, metadata=metadata)
worker_state = Enum(WorkerState, name="worker_state", values_callable=_values, metadata=metadata)
session_state = Enum(SessionState, name="session_state", values_callable=_values, metadata=metadata)
task_state = Enum(TaskState, name="task_state", values_callable=_values, metadata=metadata)
request_state = Enum(RequestState, name="request_state", values_callable=_values, metadata=metadata)
snapshot_kind = Enum(SnapshotKind, name="snapshot_kind", values_callable=_values, metadata=metadata)
job_kind = Enum(JobKind, name="job_kind", values_callable=_values, metadata=metadata)
member_role = Enum("owner", "member", "viewer", name="member_role", metadata=metadata)
stream_kind = Enum("session", "project", name="stream_kind", metadata=metadata)
