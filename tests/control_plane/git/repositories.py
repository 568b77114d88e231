"""A running git host with repositories, and git as whoever is inside a session runs it."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.control_plane.git import host

HOST = "git.example.test"
TOKEN = "ghp_canary-of-the-host-5d1c"
USERNAME = "berth"
SECONDS = 60


@dataclass
class GitHost:
    directory: Path
    port: int

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def seen(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def forget(self) -> None:
        self._log.write_text("")

    @property
    def _log(self) -> Path:
        return self.directory / "requests"

    def make(self, path: str) -> Path:
        """With one commit on `main`. As it was, if it is there."""
        place = self.directory / "repositories" / f"{path}.git"
        if not place.exists():
            _git("init", "-q", "--bare", "-b", "main", str(place))
            self.commit(path, "README", "first\n")
        return place

    def commit(self, path: str, name: str, content: str | bytes, *, branch: str = "main") -> str:
        """By somebody else, past us."""
        place = self.directory / "repositories" / f"{path}.git"
        data = content.encode() if isinstance(content, str) else content
        stream = (
            f"commit refs/heads/{branch}\ncommitter Other <o@example.test> now\ndata 4\nnext\n"
        ).encode()
        if (parent := self.head(path, branch)) is not None:
            stream += f"from {parent}\n".encode()
        stream += f"M 100644 inline {name}\ndata {len(data)}\n".encode() + data + b"\n"
        _git("-C", str(place), "fast-import", "--quiet", "--date-format=now", said=stream)
        made = self.head(path, branch)
        assert made is not None
        return made

    def head(self, path: str, branch: str = "main") -> str | None:
        place = self.directory / "repositories" / f"{path}.git"
        done = subprocess.run(
            ["git", "-C", str(place), "rev-parse", "-q", "--verify", f"refs/heads/{branch}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout.strip() or None


@contextlib.contextmanager
def running_host(directory: Path) -> Generator[GitHost]:
    repositories, log, token = (directory / one for one in ("repositories", "requests", "token"))
    repositories.mkdir()
    log.touch()
    token.write_text(TOKEN)
    process = subprocess.Popen(
        [sys.executable, host.__file__, str(repositories), str(log), str(token)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield GitHost(directory, int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


@dataclass
class Done:
    code: int
    out: str
    err: str


@dataclass
class Inside:
    """A session's place with git's environment as the executor makes it."""

    directory: Path
    environment: dict[str, str]

    async def git(self, *arguments: str, **more: str) -> Done:
        process = await asyncio.create_subprocess_exec(
            "git", *arguments,
            cwd=self.directory, env={**self.environment, **more},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(SECONDS):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Done(process.returncode or 0, out.decode(), err.decode())

    async def works(self, *arguments: str, **more: str) -> Done:
        done = await self.git(*arguments, **more)
        assert done.code == 0, done.err
        return done

    async def commit(self, clone: str, name: str, content: bytes) -> str:
        (self.directory / clone / name).write_bytes(content)
        await self.works("-C", clone, "add", name)
        identity = ("-c", "user.name=Agent", "-c", "user.email=a@example.test")
        await self.works("-C", clone, *identity, "commit", "-q", "-m", "work")
        return (await self.works("-C", clone, "rev-parse", "HEAD")).out.strip()


def _git(*arguments: str, said: bytes = b"") -> None:
    environment = {"PATH": os.pathsep.join(os.get_exec_path()), "HOME": "/nonexistent"}
    subprocess.run(["git", *arguments], input=said, env=environment, check=True)
