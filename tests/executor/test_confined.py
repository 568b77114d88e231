"""A whole voyage under the container's rules, where each access with a wrong identity fails."""

import asyncio
import os
import shlex
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from cli.embedded.runtime import Runtime
from contracts.events import ResumeLabel
from contracts.executors import ExecutorPhase
from contracts.spool import RunInterrupted, RunStartedReported
from executor.identity import Identity
from tests.executor.confined import (
    confined,
    free_port,
    give,
    nobody_left,
    own_identity,
    readable_runtime,
)
from tests.executor.outside import Outside
from tests.executor.running import Process
from tests.executor.trees import canonical

pytestmark = pytest.mark.root

ODD = """
mkdir -p dir/inner closed locked-dir; echo x > dir/inner/f; echo y > closed/f
ln -s /etc/passwd out; ln -s nowhere dangling; printf '#!/bin/sh\\n' > run.sh; chmod 4755 run.sh
echo secret > locked; chmod 000 locked; mkfifo fifo
chmod 555 dir; chmod 000 closed; chmod 100 locked-dir
"""


@pytest.fixture(scope="session")
def runtime() -> Generator[Runtime]:
    with readable_runtime() as runtime:
        yield runtime


@pytest.fixture
def identity(place: Path) -> Generator[Identity]:
    identity = own_identity()
    give(place, identity)
    with nobody_left(identity):
        yield identity


def renewed(place: Path, identity: Identity) -> None:
    """As for a new container: nothing is left in any of the directories but the relay's socket."""
    for name in ("workspace", "home", "spool"):
        shutil.rmtree(place / name)
        (place / name).mkdir(mode=0o700)
    give(place, identity)


def owners(root: Path) -> set[tuple[int, int]]:
    return {(found.lstat().st_uid, found.lstat().st_gid) for found in root.rglob("*")}


async def test_voyage__saved_restored_and_saved_aside(
    place: Path, outside: Outside, runtime: Runtime, identity: Identity
) -> None:
    workspace = place / "workspace"
    async with confined(place, outside, runtime, identity) as executor:
        await executor.phase(ExecutorPhase.READY)
        await executor.start({"shell": ODD}, {"text": "done"})
        assert (await executor.finish()).state == "succeeded"
    warnings = outside.events("run.warning")
    assert [(found["code"], found["detail"]) for found in warnings] == [
        ("files_skipped", "1 not in the snapshot: fifo (fifo)")
    ]
    saved = [line for line in canonical(workspace) if line[0] != b"fifo"]
    renewed(place, identity)
    outside.last_seq = 0
    async with confined(place, outside, runtime, identity, epoch=2) as executor:
        await executor.phase(ExecutorPhase.READY)
        assert canonical(workspace) == saved
        assert owners(workspace) == {(identity.uid, identity.gid)}
        await executor.start({"shell": "echo more > more"}, {"text": "first"}, {"hang": True})
        await executor.text("first")
        await executor.supersede()
        await executor.phase(ExecutorPhase.SUPERSEDED)
    assert len(outside.sides) == 1
    # with `more`; the agent's own session went on in the same file
    assert outside.sides[0].snapshot.files == sum(line[1] == "f" for line in saved) + 1
    assert identity.processes() == []


async def test_restart_in_place__ends_what_was_left_and_goes_on(
    place: Path, outside: Outside, runtime: Runtime, identity: Identity
) -> None:
    daemon = "trap '' TERM; echo up > up; while :; do sleep 1; done"
    async with confined(place, outside, runtime, identity) as executor:
        await executor.phase(ExecutorPhase.READY)
        # without an environment to be known by, and out of the keeper's reach once that is killed
        await executor.start(
            {
                "shell": f"env -i setsid sh -c {shlex.quote(daemon)} > /dev/null 2>&1 &",
                "detach": True,
            },
            {"shell": "until test -e up; do sleep 0.01; done; kill -9 $(ps -o ppid= -p $PPID)"},
        )
        keeper_gone = await executor.finish()
        assert keeper_gone.state == "failed"
        assert identity.processes() == []
        await executor.start({"text": "first"}, {"hang": True}, agent="scripted")
        await executor.text("first")
        executor.kill()
        await executor.gone()
    async with confined(place, outside, runtime, identity) as executor:
        await executor.phase(ExecutorPhase.READY)
        assert await executor.entry(RunInterrupted)
        assert identity.processes() == []


async def test_agent__has_nothing_and_reaches_nothing_of_the_executor(
    place: Path, outside: Outside, runtime: Runtime, identity: Identity
) -> None:
    async with confined(place, outside, runtime, identity) as executor:
        await executor.phase(ExecutorPhase.READY)
        await executor.start({"shell": "cat /proc/self/status > status; umask > umask"})
        await executor.finish()
        agent = status_of(place / "workspace" / "status")
        assert {agent[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Amb")} == {"0" * 16}
        assert agent["Uid"].split() == [str(identity.uid)] * 4
        assert agent["Gid"].split() == [str(identity.gid)] * 4
        assert agent["Groups"] == ""
        assert agent["NoNewPrivs"] == "1"
        assert (place / "workspace" / "umask").read_text() == "0022\n"
        await check_out_of_reach(executor, place, runtime, identity)


async def check_out_of_reach(
    executor: Process, place: Path, runtime: Runtime, identity: Identity
) -> None:
    pid = executor.process.pid
    tasks = await asyncio.to_thread(lambda: list(Path(f"/proc/{pid}/task").iterdir()))
    threads = {task.name: status_of(task / "status") for task in tasks}
    assert threads[str(pid)]["Uid"].split() == ["0"] * 4
    assert threads[str(pid)]["Groups"] == ""
    kinds = {found["Uid"].split()[3] for found in threads.values()}
    assert kinds == {"0", str(identity.uid)}
    # SETGID, SETUID and KILL
    assert {found["CapEff"] for found in threads.values()} == {f"{0b11100000:016x}"}
    (place / "workspace" / "reach.py").write_text(REACH)
    script = f"{runtime.python} reach.py {pid} {' '.join(threads)} > reached 2>&1"
    await executor.start({"shell": script})
    await executor.finish(2)
    assert (place / "workspace" / "reached").read_text() == "nothing\n"
    assert executor.process.poll() is None


REACH = """
import ctypes, os, sys
from pathlib import Path
pid, *threads = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
reached = []
for thread in threads:
    if libc.ptrace(16, int(thread), 0, 0) == 0:  # PTRACE_ATTACH
        reached.append(f"traced {thread}")
    for number in (0, 9, 19):
        if libc.syscall(234, int(pid), int(thread), number) == 0:  # tgkill
            reached.append(f"signalled {thread}")
for name in ("environ", "mem", "maps", "fd", "root", "cwd"):
    try:
        path = Path(f"/proc/{pid}/{name}")
        os.listdir(path) if name in {"fd", "root", "cwd"} else path.open("rb").read(1)
        reached.append(name)
    except PermissionError:
        pass
print(*reached or ["nothing"])
"""


def status_of(path: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: value.strip() for name, _, value in lines}


async def test_agent__that_shuts_its_own_directories_is_resumed_all_the_same(
    place: Path, outside: Outside, runtime: Runtime, identity: Identity
) -> None:
    async with confined(place, outside, runtime, identity) as executor:
        await executor.phase(ExecutorPhase.READY)
        await executor.start({"remember": {"key": "k", "value": "v"}}, {"text": "one"})
        await executor.finish()
        shut = "chmod 000 .berth/session.json .berth/agents; chmod 400 .berth; chmod 000 $HOME ."
        await executor.start({"text": "two"}, {"shell": shut})
        assert (await executor.finish(2)).unsaved is False
        await executor.start({"text": "three"})
        assert (await executor.finish(3)).state == "succeeded"
    labels = [found.resume for found in outside.of(RunStartedReported)]
    assert labels == [ResumeLabel.FRESH, ResumeLabel.NATIVE, ResumeLabel.NATIVE]


async def test_loopback__leads_to_the_relay_and_is_not_the_agents_to_end(
    place: Path, outside: Outside, runtime: Runtime, identity: Identity
) -> None:
    port = free_port()
    agent_dir = place / "agent"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"heard " + await reader.read())
        writer.close()

    server = await asyncio.start_unix_server(answer, agent_dir / "agent.sock")
    # as the relay does: for the agent's group
    os.chown(agent_dir / "agent.sock", 0, identity.gid)
    (agent_dir / "agent.sock").chmod(0o660)
    changes = {"agent_dir": agent_dir, "agent_port": port}
    async with server, confined(place, outside, runtime, identity, **changes) as executor:
        await executor.phase(ExecutorPhase.READY)
        (place / "workspace" / "call.py").write_text(CALL)
        script = f"{runtime.python} call.py {port}; kill -9 -1"
        await executor.start({"shell": script, "detach": False})
        await executor.finish()
        assert (place / "workspace" / "heard").read_text() == "heard hello"
        helper = identity.beside().processes()
        assert len(helper) == 1
        await executor.start({"shell": f"rm heard; {runtime.python} call.py {port}"})
        await executor.finish(2)
        assert (place / "workspace" / "heard").read_text() == "heard hello"
        assert identity.beside().processes() == helper
    assert identity.beside().processes() == []


CALL = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as peer:
    peer.sendall(b"hello")
    peer.shutdown(socket.SHUT_WR)
    open("heard", "wb").write(peer.makefile("rb").read())
"""


async def test_identity__that_the_kernel_refuses_does_nothing(
    place: Path, outside: Outside, runtime: Runtime, identity: Identity
) -> None:
    """Without SETUID: no thread with root's identity stands in for the agent's."""
    with_none = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
    code = """
import asyncio, os, sys
from executor.identity import Identity
from executor.threads import AgentThreads
async def main():
    uid = int(sys.argv[1])
    try:
        threads = AgentThreads(None)
        threads._pool._initializer = Identity(uid, uid).take_on_files
        await threads.run(os.listdir, "/")
    except Exception as error:
        print(type(error).__name__)
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [*with_none, str(runtime.python), "-c", code, str(identity.uid)],
        env=runtime.env, cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "BrokenThreadPool\n", done.stderr
