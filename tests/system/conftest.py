"""One embedded stack at a time, for all modules in a row that have the same `SETTINGS`."""

import contextlib
import time
from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx
import pytest

from tests.fixtures.stack import EmbeddedStack, Settings, embedded_stack
from tests.system.visitor import Visitor


class Figures:
    """What a case measured: told at the end of the test run."""

    def __init__(self, node: pytest.Item) -> None:
        self._node = node

    def add(self, name: str, value: object) -> None:
        self._node.user_properties.append((name, value))

    @contextlib.contextmanager
    def timed(self, name: str) -> Generator[None]:
        began = time.monotonic()
        yield
        self.add(name, f"{time.monotonic() - began:.1f} s")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All in one xdist group: one stack at a time."""
    for item in items:
        if item.path.parent.name == "system":
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.xdist_group("system"))


class Stacks:
    """The running one, and what it was started with."""

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self._open = contextlib.AsyncExitStack()
        self._running: EmbeddedStack

    async def of(self, settings: Settings) -> EmbeddedStack:
        if settings != self._settings:
            await self.close()
            self._running = await self._open.enter_async_context(embedded_stack(settings))
            self._settings = settings
        return self._running

    async def close(self) -> None:
        self._settings = None
        await self._open.aclose()


@pytest.fixture(scope="session")
async def stacks() -> AsyncGenerator[Stacks]:
    found = Stacks()
    yield found
    await found.close()


@pytest.fixture(scope="module")
async def stack(request: pytest.FixtureRequest, stacks: Stacks) -> EmbeddedStack:
    return await stacks.of(getattr(request.module, "SETTINGS", {}))


@pytest.fixture
async def no_stack(stacks: Stacks) -> None:
    """For a test that starts one itself."""
    await stacks.close()


@pytest.fixture
async def visitor(stack: EmbeddedStack) -> AsyncGenerator[Visitor]:
    found = Visitor(stack.api)
    yield found
    await found.leave()
    for session in found.sessions:
        # the places of its workers: without them the next test waits for one to be idle for long
        with contextlib.suppress(httpx.HTTPError):
            await stack.api.http.post(f"/api/v1/session-workers/{session}/stop")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    return Figures(request.node)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    running = getattr(item, "funcargs", {}).get("stack")
    if report.when == "call" and report.failed and running is not None:
        report.sections.append(("embedded stack", running.report()))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [
        one
        for outcome in ("passed", "failed")
        for one in terminalreporter.stats.get(outcome, [])
        if one.when == "call" and "tests/system/" in one.nodeid
    ]
    for report in reports:
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
