"""An agent at work on a task, as its worker is known to the control plane."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from contracts.human_loop import Reply
from contracts.runs import RunOptions
from contracts.tools import Tool, ToolAnswer
from control_plane.domain import tools
from control_plane.domain.access import WorkerCaller
from control_plane.services.projector import Projector
from tests.fixtures.berth import Berth
from tests.fixtures.office import Host, Office


@dataclass
class Working:
    office: Office
    session: UUID
    task: UUID
    host: Host
    berth: Berth

    @property
    def caller(self) -> WorkerCaller:
        grant = self.berth.grant
        return WorkerCaller(
            id=grant.worker_id,
            session_id=grant.session_id,
            project_id=grant.project_id,
            manager_id=self.host.id,
            epoch=grant.epoch,
            superseded=False,
            released=False,
        )

    async def call(
        self,
        tool: Tool,
        words: str = "words",
        *options: str,
        key: str | None = None,
        left: asyncio.Event | None = None,
        through: Office | None = None,
    ) -> ToolAnswer:
        call = tools.call(tool, words, options, key=key)
        return await (through or self.office).tools.call(self.caller, call, left=left)

    async def reply(
        self, request_id: UUID | None, text: str = "blue", *, through: Office | None = None
    ) -> bool:
        assert request_id is not None
        office = through or self.office
        return await office.human_loop.reply(request_id, Reply(text=text), by=uuid4())

    async def finish(self, *arguments: Any, **changes: Any) -> None:
        entries = [self.berth.snapshot(), self.berth.finish(*arguments, **changes)]
        told = await self.office.report(self.berth, *entries)
        assert told.refused == []

    async def run(self) -> asyncpg.Record:
        return await self.office.run(self.berth.run_id)

    async def task_now(self) -> asyncpg.Record:
        projector = Projector(self.office.database)
        while await projector.run_once():
            pass
        query = "SELECT state::text AS state, summary, last_reason FROM tasks WHERE id = $1"
        return (await self.office.fetch(query, self.task))[0]

    async def prompts(self) -> list[str]:
        """Of the session's runs, in the line's order."""
        rows = await self.office.fetch(
            "SELECT p.prompt FROM runs r JOIN run_payloads p ON p.run_id = r.id"
            " WHERE r.session_id = $1 ORDER BY r.line_no",
            self.session,
        )
        return [row["prompt"] for row in rows]

    async def request(self, request_id: UUID | None) -> asyncpg.Record:
        query = "SELECT *, state::text AS now FROM human_loop_requests WHERE id = $1"
        return (await self.office.fetch(query, request_id))[0]

    async def kinds(self) -> list[str]:
        query = "SELECT kind FROM events WHERE stream_id = $1 ORDER BY seq"
        return [row["kind"] for row in await self.office.fetch(query, self.session)]

    async def again(self) -> None:
        """The attempt is lost with its worker, and another worker has the run."""
        await self.office.expire(self.berth)
        await self.office.rescue.reclaim()
        await self.office.execute("UPDATE runs SET available_at = now() - interval '1 second'")
        self.berth = await self.office.claim(self.host)
        await self.office.report(self.berth, self.berth.started())


async def working(office: Office) -> Working:
    session = await office.session()
    task = await office.task(session)
    async with office.database.unit() as unit:
        await office.runs.enqueue(
            unit, session, prompt="do it", options=RunOptions(priority=3), by=None, task_id=task
        )
    host = await office.host()
    berth = await office.claim(host)
    await office.report(berth, berth.started())
    return Working(office, session, task, host, berth)


def patient(office: Office, seconds: float) -> None:
    """How long `ask_user` waits."""
    office.tools._ask_seconds = seconds
