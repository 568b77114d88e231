"""The embedded stack: started step by step, kept running, stopped in reverse order.

Started from below: Postgres and object store, the schema, the first key, control plane,
executor-manager (which starts its relay and adopts the workers that a killed stack left), gateway.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass
from typing import Any

import sql.migrate
from cli.embedded.errors import StartFailed
from cli.embedded.runtime import Runtime, own_runtime, prepare_runtime
from cli.embedded.secret_files import read_secret
from cli.embedded.state import StateDirectory, open_state
from cli.stack.first_key import key_works, make_first_key
from cli.stack.infrastructure import ObjectStorePart, PostgresPart
from cli.stack.keeping import Part, keep
from cli.stack.options import StackOptions
from cli.stack.record import API_KEY, read_key, remove_record, write_record
from cli.stack.services import (
    Wiring,
    control_plane,
    control_plane_env,
    executor_manager,
    gateway,
    own_env,
)
from cli.stack.steps import Reporter, step

_HURRIED = 0.5
"""Seconds that a part gets after the second Ctrl-C."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    url: str
    key: str


class Stack:
    def __init__(
        self,
        state: StateDirectory,
        options: StackOptions,
        reporter: Reporter,
        *,
        hurry: asyncio.Event | None = None,
    ) -> None:
        """`hurry`: set it to cut a stop short."""
        self._state = state
        self._options = options
        self._reporter = reporter
        self._hurry = hurry or asyncio.Event()
        self._ports = state.ports()
        self._parts: list[Part] = []
        """From below; what is above needs what is below."""
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self) -> Ready:
        """Raises an EmbeddedError that says what to do. Call `stop` in any case."""
        remove_record(self._state.home)
        wiring = await self._foundation()
        below = control_plane(wiring)
        env = {**own_env(), **control_plane_env(wiring)}
        self._parts.append(below)
        await together(self._begin(below), self._first_key(env))
        manager, front = executor_manager(wiring, below), gateway(wiring, below)
        self._parts += [manager, front]
        await together(self._begin(manager), self._begin(front))
        key = await self._working_key(front.url, env)
        write_record(self._state.home, front.url)
        self._keepers = [
            asyncio.create_task(
                keep(part, home=self._state.home, reporter=self._reporter, moved=self._moved)
            )
            for part in self._parts
        ]
        return Ready(url=front.url, key=key)

    async def stop(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        remove_record(self._state.home)
        for part in reversed(self._parts):
            if part.process.identity is not None:
                with step(self._reporter, f"stop {part.name}") as told:
                    obeyed = await self._end(part)
                    told.detail = "" if obeyed else "had to be killed"

    async def _foundation(self) -> Wiring:
        postgres = PostgresPart(self._state, self._ports, quick=self._options.quick)
        object_store = ObjectStorePart(self._state, self._ports)
        self._parts += [postgres, object_store]
        _, _, runtime = await together(
            self._database(postgres), self._begin(object_store), asyncio.to_thread(self._runtime)
        )
        return Wiring(
            state=self._state,
            ports=self._ports,
            options=self._options,
            runtime=runtime,
            postgres=postgres,
            object_store=object_store,
        )

    async def _database(self, postgres: PostgresPart) -> None:
        with step(self._reporter, "postgres") as told:
            started = await postgres.start()
            told.detail = f"127.0.0.1:{started.port}"
            if started.recovered:
                told.detail += ", recovered from a crash"
        with step(self._reporter, "schema"):
            try:
                await sql.migrate.upgrade(read_secret(postgres.url_file))
            except Exception as error:
                raise StartFailed(
                    f"The schema could not be brought up to date: {error}. Nothing was changed; "
                    f"the data lies in {self._state.postgres}."
                ) from error

    def _runtime(self) -> Runtime:
        if os.geteuid() != 0:
            return own_runtime()
        with step(self._reporter, "runtime for agents") as told:
            runtime = prepare_runtime(self._state.home)
            told.detail = f"as uid {runtime.user.uid}" if runtime.user else ""
        return runtime

    async def _begin(self, part: Part) -> None:
        with step(self._reporter, part.name) as told:
            await part.start()
            told.detail = part.address

    async def _first_key(self, env: dict[str, str]) -> None:
        if read_key(self._state.home) is None:
            with step(self._reporter, "first key") as told:
                await make_first_key(self._state, env)
                told.detail = str(self._state.home / API_KEY)

    async def _working_key(self, url: str, env: dict[str, str]) -> str:
        """A key that was kept from another database is made anew."""
        key = read_key(self._state.home)
        if key is None or not await key_works(url, key):
            self._reporter.warn("The kept key belongs to another database: a new one is made.")
            await make_first_key(self._state, env)
        return read_key(self._state.home) or ""

    def _moved(self, part: Part) -> None:
        """What is above it was told the former address: it is started again, with the new one."""
        self._reporter.warn(f"{part.name} has another address now; what uses it is restarted")
        for above in self._parts[self._parts.index(part) + 1 :]:
            identity = above.process.identity
            if identity is not None and not isinstance(above, ObjectStorePart):
                identity.send(signal.SIGTERM)

    async def _end(self, part: Part) -> bool:
        ending = asyncio.create_task(part.stop(deadline=part.stop_within))
        hurried = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({ending, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if ending.done():
            return ending.result()
        ending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ending
        return await part.stop(deadline=_HURRIED)


@contextlib.asynccontextmanager
async def running_stack(
    options: StackOptions, reporter: Reporter, *, hurry: asyncio.Event | None = None
) -> AsyncGenerator[Ready]:
    """Raises an EmbeddedError that says what to do."""
    with open_state(options.home) as state:
        stack = Stack(state, options, reporter, hurry=hurry)
        try:
            yield await stack.start()
        finally:
            await _to_the_end(stack.stop())


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Whoever cancels us meanwhile has to wait: a half-stopped stack helps nobody."""
    task = asyncio.create_task(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
    task.result()


async def together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """All results; the first error, after the others have been cancelled and have ended."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
