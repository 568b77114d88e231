import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from cli.embedded.errors import StartFailed
from cli.embedded.identity import ProcessIdentity
from cli.embedded.processes import KEPT_LOGS, Service, ServiceProcess

STUBBORN = (
    "import signal,time;signal.signal(signal.SIGTERM,signal.SIG_IGN);print('up',flush=True)\n"
)

Start = Callable[..., ServiceProcess]


@pytest.fixture
def service(tmp_path: Path) -> Callable[..., Service]:
    def make(code: str = "import time; print('up', flush=True); time.sleep(60)") -> Service:
        return Service(
            name="child",
            argv=(sys.executable, "-c", code),
            log_path=tmp_path / "logs/child.log",
            pid_path=tmp_path / "run/child.pid",
        )

    return make


@pytest.fixture
async def start(service: Callable[..., Service]) -> AsyncGenerator[Start]:
    started: list[ServiceProcess] = []

    def begin(*code: str) -> ServiceProcess:
        process = ServiceProcess(service(*code))
        started.append(process)
        process.start()
        return process

    yield begin
    for process in started:
        await process.stop(deadline=0.2)


async def wrote(process: ServiceProcess) -> str:
    """What it printed first."""
    async with asyncio.timeout(30):
        while not (said := process.log_tail()):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.01)
    return said


async def test_stop__ends_at_once_and_removes_the_pid_file(start: Start) -> None:
    process = start()
    identity = process.identity
    assert identity is not None
    assert process.running()
    assert ProcessIdentity.parse(process.service.pid_path.read_text()) == identity
    assert os.getsid(identity.pid) == identity.pid

    assert await process.stop()

    assert not identity.alive()
    assert not process.service.pid_path.exists()


async def test_stop__kills_one_that_does_not_obey(start: Start) -> None:
    process = start(STUBBORN + "time.sleep(60)")
    await wrote(process)
    identity = process.identity
    assert identity is not None
    assert not await process.stop(deadline=0.2)
    assert not identity.alive()


async def test_stop__takes_what_is_left_of_the_session(start: Start) -> None:
    process = start(
        "import subprocess,time\n"
        "print(subprocess.Popen(['sleep','60']).pid,flush=True);time.sleep(60)"
    )
    grandchild = ProcessIdentity.of(int(await wrote(process)))
    assert grandchild is not None
    await process.stop()
    assert not grandchild.alive()


async def test_wait__gives_the_exit_code(start: Start) -> None:
    assert await start("raise SystemExit(7)").wait() == 7


async def test_find_stale__a_former_run_left_it(
    start: Start, service: Callable[..., Service]
) -> None:
    left = start()
    next_run = ServiceProcess(service())
    assert next_run.find_stale() == left.identity
    assert await next_run.end_stale()
    assert not left.running()
    assert not await next_run.end_stale()


async def test_end_stale__never_touches_a_recycled_pid(service: Callable[..., Service]) -> None:
    bystander = subprocess.Popen(["sleep", "60"])  # noqa: ASYNC220 - starts at once
    try:
        found = ProcessIdentity.of(bystander.pid)
        assert found is not None
        process = ServiceProcess(service())
        process.service.pid_path.parent.mkdir()
        process.service.pid_path.write_text(f"{found.pid} {found.started - 1} {found.boot}")
        assert not await process.end_stale()
        assert bystander.poll() is None
        assert not ProcessIdentity(found.pid, found.started - 1, found.boot).send(signal.SIGKILL)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize("text", ["", "12", "a b c", "1 2", "\x00"])
async def test_find_stale__torn_pid_file(service: Callable[..., Service], text: str) -> None:
    process = ServiceProcess(service())
    process.service.pid_path.parent.mkdir()
    process.service.pid_path.write_text(text)
    assert process.find_stale() is None


async def test_start__inherits_nothing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "x")
    process = start("import os; print(sorted(os.environ))")
    await process.wait()
    assert "A_SECRET" not in process.log_tail()


async def test_start__keeps_the_logs_of_former_starts(start: Start) -> None:
    process = start("print(0)")
    await process.wait()
    for number in range(1, KEPT_LOGS + 2):
        process = start(f"print({number})")
        await process.wait()
    folder = process.service.log_path.parent
    kept = {path.name: path.read_text().strip() for path in folder.iterdir()}
    assert kept == {
        "child.log": "4", "child.log.1": "3", "child.log.2": "2", "child.log.3": "1"
    }  # fmt: skip


def test_start__no_such_program(tmp_path: Path) -> None:
    missing = Service(
        name="missing",
        argv=(str(tmp_path / "none"),),
        log_path=tmp_path / "log",
        pid_path=tmp_path / "pid",
    )
    with pytest.raises(StartFailed, match=r"Check that .*none exists"):
        ServiceProcess(missing).start()
