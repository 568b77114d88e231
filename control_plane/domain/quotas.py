"""How many more workers projects and users may have, and what a run at a limit is told. Pure."""

from dataclasses import dataclass
from uuid import UUID

from contracts.quotas import LimitName, Quota, Subject, Used

WAITS_FOR_WORKER = "waits_for_worker_limit"
"""The code of the warning: the run starts when another worker has ended."""

WORDS: dict[LimitName, str] = {
    "max_workers": "workers at the same time",
    "max_queued": "runs that wait",
    "runs_per_hour": "runs in an hour",
}


@dataclass(slots=True)
class Rooms:
    """By project and user alike, for ids are never the same; one that is not in it has no limit."""

    left: dict[UUID, int]

    def take(self, project_id: UUID, user_id: UUID | None) -> bool:
        """One more worker, counted for both, or for neither."""
        held = [one for one in (project_id, user_id) if one is not None and one in self.left]
        if any(self.left[one] <= 0 for one in held):
            return False
        for one in held:
            self.left[one] -= 1
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Of one project or user, read under its lock or for a view."""

    id: UUID
    subject: Subject
    own: Quota
    limits: Quota
    used: Used
    unserved: int
    """Queued runs that have no worker; counted no further than the limit of workers."""
    full_for: float | None
    """Seconds until one more run may be started, by `runs_per_hour`; None: now."""

    @property
    def refuses(self) -> LimitName | None:
        """The limit that one more run would break."""
        most = self.limits.max_queued
        if most is not None and self.used.queued >= most:
            return "max_queued"
        if self.limits.runs_per_hour is not None and self.full_for is not None:
            return "runs_per_hour"
        return None

    @property
    def crowded(self) -> bool:
        """One more run would have to wait for a worker of somebody else's to end."""
        most = self.limits.max_workers
        return most is not None and self.used.workers + self.unserved >= most


def whose(subject: Subject) -> str:
    return "this project's" if subject == "project" else "your"
