"""Whether a session could live in a further runtime of the engine: tried, in a small container.

A session lives by Unix sockets of mounted directories. Its executor binds one, which the manager
connects to; the relay's are bound outside, and connected to from inside. A runtime with a kernel of
its own need not pass that on: gVisor does neither, unless it is told to. A session there would
never answer, so what does not pass is not offered, and its reason says what would help.
"""

import socket
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from chassis.logs import get_logger
from contracts.containers import is_sandbox
from executor_manager.containers import places, runtime_inside
from executor_manager.containers.docker_configuration import CONTROL, runtime_container
from executor_manager.containers.docker_engine import START_SECONDS, Engine, Info
from executor_manager.containers.docker_places import ROOT
from executor_manager.containers.docker_probe import DockerProbe
from executor_manager.containers.errors import BackendError
from executor_manager.containers.removal import remove_all
from executor_manager.containers.runtime_inside import INSIDE, OUTSIDE, WORD

TRY_SECONDS = 20.0
"""From its start to both answers; a container that says less is not fit."""
MOST_SECONDS = START_SECONDS + TRY_SECONDS + 60.0
"""For one of them, with what the engine needs besides."""
ANSWER_SECONDS = 2.0
REMOVE_SECONDS = 5.0
POLL_SECONDS = 0.05
PLACE = "probe"
"""Beside the sessions' own, below the volume of the sockets."""
LONGEST = 500
"""Characters of a reason that somebody else wrote."""
PROGRAM = Path(runtime_inside.__file__)

DEAF = "nothing inside reaches a Unix socket that was bound outside"
MUTE = "nothing outside reaches a Unix socket that is bound inside"
LET_THROUGH = (
    'give it "runtimeArgs": ["--host-uds=all"] in the engine\'s daemon.json, if it is gVisor (one'
    " that does not know the flag is too old), reload the engine, and restart the manager"
)
SEE = "see that a container of it starts, by `docker run --runtime`, and restart the manager"
NAME = "install it, name it in the engine's daemon.json, reload the engine, restart the manager"

_log = get_logger()


class _Told(msgspec.Struct, frozen=True):
    """What the program inside printed; empty: nothing was wrong."""

    bind: str = ""
    connect: str = ""


class Trial(NamedTuple):
    """Of one runtime; both empty: a session could live in it."""

    wrong: str = ""
    remedy: str = ""


FIT = Trial()
ABSENT = Trial("the engine knows none of that name", NAME)


def candidates(info: Info, allowed: Sequence[str]) -> list[str]:
    """What has to be tried on this engine."""
    known = info.runtimes or {}
    own = [info.default_runtime] if is_sandbox(info.default_runtime) else []
    return [name for name in dict.fromkeys([*allowed, *own]) if name in known]


@dataclass(slots=True)
class RuntimeTrial:
    """Blocks."""

    engine: Engine
    probe: DockerProbe
    sockets: Path
    on_host: Path
    """The same, as the engine's host sees it."""

    def run(self, names: Sequence[str]) -> dict[str, Trial]:
        return {name: self._told(name) for name in names}

    def _told(self, name: str) -> Trial:
        begun = time.monotonic()
        try:
            wrong = self._wrong(name)
            trial = Trial(wrong, LET_THROUGH) if wrong else FIT
        except (BackendError, OSError) as error:
            trial = Trial(f"it cannot be tried: {str(error)[:LONGEST]}", SEE)
        seconds = round(time.monotonic() - begun, 3)
        if trial != FIT:
            _log.warning("runtime_refused", runtime=name, seconds=seconds, **trial._asdict())
        else:
            _log.info("runtime_fit", runtime=name, seconds=seconds)
        return trial

    def _wrong(self, name: str) -> str:
        command = ["python3", "-I", "-S", "-c", PROGRAM.read_text(), CONTROL]
        made = runtime_container(self.probe.options, name, command, self.on_host / PLACE)
        with self._place() as place, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place / OUTSIDE))
            listener.listen()
            with self.probe.started(made) as container:
                met = _meet(listener, place / INSIDE, lambda: self._runs(container))
                return "" if met == (True, True) else self._judged(container, *met)

    @contextmanager
    def _place(self) -> Generator[Path]:
        """Empty, also where a manager was killed in it; gone afterwards."""
        place = self.sockets / PLACE
        places.own(place, 0o700, ROOT)
        remove_all(place, deadline=REMOVE_SECONDS)
        try:
            yield place
        finally:
            remove_all(place, deadline=REMOVE_SECONDS)
            place.rmdir()

    def _runs(self, container: str) -> bool:
        found = self.engine.inspect(container)
        return found is not None and found.state.status in {"created", "running"}

    def _judged(self, container: str, connected: bool, answered: bool) -> str:  # noqa: FBT001  # as `_meet` told
        printed = self.engine.logs(container, LONGEST)
        try:
            told = msgspec.json.decode(printed, type=_Told)
        except msgspec.MsgspecError:
            told = _Told(connect=printed.decode(errors="replace").strip()[-LONGEST:])
        wrong = [
            f"{what} ({why})" if why else what
            for what, why, held in (
                (DEAF, told.connect, connected),
                (MUTE, told.bind, answered),
            )
            if not held
        ]
        return " and ".join(wrong)


def _meet(listener: socket.socket, inside: Path, runs: Callable[[], bool]) -> tuple[bool, bool]:
    """Whether somebody connected from inside, and whether somebody answered there."""
    listener.settimeout(POLL_SECONDS)
    ends = time.monotonic() + TRY_SECONDS
    connected = answered = False
    running = True
    while running and not (connected and answered) and time.monotonic() < ends:
        # before the looks: one that ended in between has left what it did
        running = runs()
        connected = connected or _answers(listener)
        answered = answered or _asks(inside)
    return connected, answered


def _answers(listener: socket.socket) -> bool:
    try:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(ANSWER_SECONDS)
            word = connection.recv(len(WORD))
            connection.sendall(word)
    except OSError:
        return False
    return word == WORD


def _asks(inside: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(str(inside))
            connection.sendall(WORD)
            return connection.recv(len(WORD)) == WORD
        except OSError:
            time.sleep(POLL_SECONDS)
            return False
