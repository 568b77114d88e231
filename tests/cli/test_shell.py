"""`berth shell` in a terminal of its own and `berth exec`, against a small gateway."""

import asyncio
import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from chassis.ids import new_id
from contracts.errors import RENDERINGS, Code, Problem
from contracts.terminals import Attached, Exited
from tests.fixtures.processes import met
from tests.fixtures.serving import serving

SESSION = new_id()
KEY = "bk_for-a-shell"


@dataclass
class Front:
    """ASGI. Each connection shows `scrollback`, then does what `then` says."""

    then: list[str] = field(default_factory=lambda: ["stay"])
    scrollback: bytes = b"before\r\n"
    problem: Code | None = None
    queries: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    typed: bytes = b""
    told: list[dict[str, Any]] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when all that a terminal's viewer had sent has come."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.keys.append(headers["authorization"])
        self.queries.append(scope["query_string"].decode())
        if scope["type"] == "http":
            self.asked = json.loads((await receive())["body"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            body = json.dumps(self.answer).encode()
            await send({"type": "http.response.body", "body": body, "more_body": False})
            return
        await receive()
        await self._socket(receive, send)

    async def _socket(self, receive: Any, send: Any) -> None:
        if self.problem is not None:
            rendering = RENDERINGS[self.problem]
            told = Problem(title=rendering.title, status=rendering.status, code=self.problem)
            start = {"status": rendering.status, "headers": []}
            await send({"type": "websocket.http.response.start", **start})
            body = msgspec.json.encode(told)
            await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
            return
        await send({"type": "websocket.accept"})
        attached = Attached(terminal="main", writes=True, columns=80, rows=24, replayed=8)
        await send({"type": "websocket.send", "text": msgspec.json.encode(attached).decode()})
        await send({"type": "websocket.send", "bytes": self.scrollback})
        then = self.then.pop(0) if len(self.then) > 1 else self.then[0]
        if then == "restart":
            await send({"type": "websocket.close", "code": 1012, "reason": "restarting"})
            return
        try:
            await self._talk(receive, send)
        finally:  # a viewer that has left takes no answer
            self.left.set()

    async def _talk(self, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            if (text := message.get("text")) is not None:
                self.told.append(json.loads(text))
                continue
            self.typed += message["bytes"]
            if b"bye" in self.typed:
                told = msgspec.json.encode(Exited(exit_code=42)).decode()
                await send({"type": "websocket.send", "text": told})
                await send({"type": "websocket.close", "code": 1000, "reason": "over"})
                return
            await send({"type": "websocket.send", "bytes": b"<" + message["bytes"] + b">"})


class Own:
    """The command, in a terminal that the test holds the other end of."""

    def __init__(self, url: str, *more: str) -> None:
        self.master, slave = os.openpty()
        os.set_blocking(self.master, False)
        self.resize(30, 100)
        self.before = termios.tcgetattr(self.master)
        self.shown = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "shell", str(SESSION), "--url", url, *more],
            stdin=slave,
            stdout=slave,
            stderr=subprocess.PIPE,
            env={"PATH": os.defpath, "BERTH_KEY": KEY, "TERM": "xterm", "HOME": "/tmp"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - a child of one thread
        )
        os.close(slave)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def enter(self, content: bytes) -> None:
        os.write(self.master, content)

    async def sees(self, wanted: bytes) -> None:
        def seen() -> bool:
            with contextlib.suppress(OSError):
                self.shown += os.read(self.master, 65536)
            return wanted in self.shown

        await met(seen, f"{wanted!r}", 30)

    async def ends(self) -> tuple[int, str]:
        async with asyncio.timeout(30):
            _, said = await asyncio.to_thread(self.process.communicate)
        return self.process.returncode, said.decode()


@pytest.fixture
def front() -> Front:
    return Front()


@pytest.fixture
async def url(front: Front) -> AsyncGenerator[str]:
    async with serving(front, graceful_seconds=0) as url:
        yield url


async def test_shell__shows_types_resizes_and_gives_the_exit_code(front: Front, url: str) -> None:
    own = Own(url)
    await own.sees(b"before")
    own.enter(b"a\x03\x1b[A")
    await own.sees(b"<a\x03\x1b[A>")
    own.resize(40, 120)
    await met(lambda: front.told, "resized")
    assert front.told[-1] == {"type": "resize", "columns": 120, "rows": 40}
    own.enter(b"bye")
    code, _ = await own.ends()
    assert code == 42
    assert front.keys == [f"Bearer {KEY}"]
    assert set(front.queries[0].split("&")) == {
        "terminal=main", "mode=auto", "columns=100", "rows=30",
    }  # fmt: skip


async def test_detach_key__leaves_and_is_not_sent(front: Front, url: str) -> None:
    own = Own(url, "--detach-key", "a", "--terminal", "build", "--read-only")
    await own.sees(b"before")
    own.enter(b"x\x01y")
    code, said = await own.ends()
    assert code == 0
    assert "berth shell" in said
    await asyncio.wait_for(front.left.wait(), 30)
    assert front.typed == b"x"
    assert "terminal=build" in front.queries[0]
    assert "mode=read" in front.queries[0]


async def test_restart__is_connected_again_and_input_is_not_repeated(
    front: Front, url: str
) -> None:
    front.then = ["restart", "stay"]
    own = Own(url)
    await own.sees(b"connecting again")
    await met(lambda: len(front.queries) == 2, "again")
    await own.sees(b"\x1b[2J\x1b[Hbefore")
    own.enter(b"bye")
    assert (await own.ends())[0] == 42
    assert front.typed == b"bye"


async def test_refusal__is_told_and_the_terminal_is_as_it_was(front: Front, url: str) -> None:
    front.problem = Code.WORKER_NOT_RUNNING
    own = Own(url)
    code, said = await own.ends()
    assert code == 7
    assert "no running worker" in said
    assert termios.tcgetattr(own.master)[3] == own.before[3] | termios.ECHO | termios.ICANON


async def test_exec__gives_output_and_code(front: Front, url: str) -> None:
    front.answer = {"stdout": "out", "stderr": "err", "exit_code": 3, "duration_ms": 1}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "cli", "exec", str(SESSION), "--url", url, "--cwd", "src",
         "--timeout", "5", "--", "ls", "-l", "a b"],
        env={"PATH": os.defpath, "BERTH_KEY": KEY, "HOME": "/tmp"},
        capture_output=True,
        check=False,
        timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == (b"out", b"err", 3)
    assert front.asked == {"command": ["ls", "-l", "a b"], "cwd": "src", "timeout_seconds": 5.0}


async def test_exec__does_not_steer_the_terminal_that_it_is_shown_in(
    front: Front, url: str
) -> None:
    steering = "a\x1b]52;c;ZXZpbA==\x07b\x1b[6nc\x9b21td\te\n"
    front.answer = {"stdout": steering, "stderr": "", "exit_code": 0, "duration_ms": 1}
    command = [sys.executable, "-m", "cli", "exec", str(SESSION), "--url", url, "--", "ls", "-l"]
    env = {"PATH": os.defpath, "BERTH_KEY": KEY, "HOME": "/tmp"}
    master, slave = os.openpty()
    for where in (slave, subprocess.PIPE):
        done = await asyncio.to_thread(
            subprocess.run, command, env=env, stdout=where, check=True, timeout=60
        )
        if where != slave:
            assert done.stdout.decode() == steering
    os.close(slave)
    shown = os.read(master, 65536)
    os.close(master)
    assert shown.replace(b"        ", b"\t") == b"a]52;c;ZXZpbA==b[6nc21td\te\r\n"


async def test_no_terminal__is_told_what_to_use() -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "cli", "shell", str(SESSION), "--url", "http://127.0.0.1:1"],
        env={"PATH": os.defpath, "BERTH_KEY": KEY, "HOME": "/tmp"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert b"berth exec" in done.stderr
