"""Workers whose runs are over, and what became of the jobs that took them up."""

from uuid import UUID

from contracts.jobs import Job
from contracts.managers import WorkerChange
from tests.fixtures.berth import Berth
from tests.fixtures.office import Host, Office


async def idle(office: Office, host: Host, project: UUID) -> Berth:
    """A worker whose only run is over."""
    berth = await office.running(await office.session(project), host)
    await office.done(berth)
    return berth


async def stopped(office: Office, host: Host, project: UUID) -> Berth:
    berth = await idle(office, host, project)
    await office.report(berth, berth.stopped(berth.head))
    return berth


async def commands(office: Office, kind: str) -> list[UUID]:
    query = "SELECT worker_id FROM commands WHERE type = $1 ORDER BY position"
    return [row["worker_id"] for row in await office.fetch(query, kind)]


async def counts(office: Office, job_id: UUID) -> dict[str, int]:
    return (await office.jobs.get(job_id)).counts


async def done(office: Office, job_id: UUID) -> Job:
    await office.jobs.run_once()
    return await office.jobs.get(job_id)


async def removed(office: Office, host: Host, worker_id: UUID) -> None:
    change = WorkerChange(incarnation=host.incarnation, epoch=1, change="removed")
    await office.workers.change(host.id, worker_id, change)
