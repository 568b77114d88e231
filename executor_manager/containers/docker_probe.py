"""Runs one command in a container of the executors' image, with nothing of any session in it."""

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from executor_manager.containers.docker_configuration import (
    MANAGER,
    PROBE_ROLE,
    ROLE,
    DockerOptions,
    probe_container,
)
from executor_manager.containers.docker_engine import Engine
from executor_manager.containers.errors import BackendError, NameTaken, Timeout
from executor_manager.containers.threads import Threads

RUN_SECONDS = 30.0
LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Printed:
    text: bytes
    errors: bytes
    exit_code: int


Command = Callable[[dict[str, str]], Sequence[str]]
"""What to run, by the image's own environment."""


@dataclass(slots=True)
class DockerProbe:
    """Answers are remembered: the same image answers the same command alike."""

    engine: Engine
    threads: Threads
    options: DockerOptions
    _known: dict[tuple[str, ...], Printed] = field(default_factory=dict[tuple[str, ...], Printed])

    @property
    def name(self) -> str:
        return f"berth-probe-{self.options.manager_id}"

    async def run(self, command: Command) -> Printed:
        """Raises `BackendError`."""
        return await self.threads.call(lambda: self._ask(command), 3 * RUN_SECONDS)

    def _ask(self, command: Command) -> Printed:
        image = self.engine.image(self.options.image)
        given = (one.partition("=") for one in (image.config.env if image.config else None) or [])
        argv = [*command({name: value for name, _, value in given})]
        if (known := self._known.get((image.id, *argv))) is not None:
            return known
        printed = self._run(argv)
        if printed.exit_code == 0:
            self._known[(image.id, *argv)] = printed
        return printed

    def _run(self, command: list[str]) -> Printed:
        with self.started(probe_container(self.options, command)) as container:
            code = self.engine.wait(container, RUN_SECONDS)
            return Printed(
                text=self.engine.logs(container, LARGEST, errors=False),
                errors=self.engine.logs(container, LARGEST, out=False),
                exit_code=code,
            )

    @contextlib.contextmanager
    def started(self, configuration: dict[str, Any]) -> Generator[str]:
        """The id of its container, which is gone afterwards. Blocks; one at a time."""
        self._remove_leftover()
        container = self.engine.create(self.name, configuration)
        try:
            self.engine.start(container)
            yield container
        finally:
            # its own failure must not hide the answer: the next one removes what is left
            with contextlib.suppress(BackendError):
                self._end(container)

    def _remove_leftover(self) -> None:
        found = self.engine.inspect(self.name)
        if found is None:
            return
        ours = {ROLE: PROBE_ROLE, MANAGER: str(self.options.manager_id)}
        if not ours.items() <= (found.config.labels or {}).items():
            raise NameTaken(f"another's container has the name {self.name}")
        self._end(found.id)

    def _end(self, container: str) -> None:
        with contextlib.suppress(Timeout):
            self.engine.stop(container, 0)
        self.engine.remove(container)
