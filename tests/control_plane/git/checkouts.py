"""What clones in a session's place: an executor's worker, as far as a checkout needs one."""

from pathlib import Path
from typing import Any, cast
from uuid import UUID

import msgspec

from chassis.ids import new_id
from contracts.checkouts import GitSource
from contracts.commands import RunSpec
from contracts.events import Event, WorkerStep
from executor.agents.listener import Loopback
from executor.agents.spared import Spared
from executor.reporter import RunReporter
from executor.services.runs.checkout import Checkout
from executor.services.worker import Worker
from tests.executor.running import settings_at
from tests.executor.trees import tree_at


class Told:
    """Of a worker and of a run."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def event(self, event: Event) -> None:
        self.events.append(event)

    def steps(self) -> list[tuple[str, str, str]]:
        return [
            (one.step, one.outcome, one.reason)
            for one in self.events
            if isinstance(one, WorkerStep)
        ]


class Saved:
    """How often what was cloned became a snapshot of its own."""

    def __init__(self) -> None:
        self.count = self.touches = 0
        self.head: UUID | None = None

    def touched(self) -> None:
        self.touches += 1

    async def acknowledged(self, run: object) -> None:
        del run
        self.count += 1
        self.head = new_id()


class Place:
    """A workspace, and an executor's means in it. Each `checkout` is another attempt's."""

    def __init__(self, directory: Path, loopback: Loopback, **changes: Any) -> None:
        for name in ("workspace", "home"):
            (directory / name).mkdir(exist_ok=True)
        self.workspace = directory / "workspace"
        self.told, self.saved = Told(), Saved()
        tree = tree_at(self.workspace)
        settings = settings_at(directory, egress=["git"])
        means = {
            "settings": msgspec.structs.replace(settings, **changes),
            "tree": tree,
            "threads": tree.threads,
            "loopback": loopback,
            "spared": Spared(),
            "reporter": self.told,
            "saves": self.saved,
        }
        absent = {name: None for name in Worker.__struct_fields__ if name not in means}
        self.worker = Worker(**cast("Any", {**absent, **means}))

    def checkout(self, url: str, ref: str | None = None, **changes: Any) -> Checkout:
        spec = RunSpec(
            run_id=new_id(),
            attempt=1,
            agent="scripted",
            prompt="go",
            git=GitSource(url=url, ref=ref),
            **changes,
        )
        return Checkout(self.worker, spec, cast("RunReporter", self.told))

    def names(self) -> set[str]:
        return {one.name for one in self.workspace.iterdir()}
