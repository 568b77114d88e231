"""What runs in a container of a runtime that is tried: both ways by sockets of a mounted directory.

`python3 -I -S -c SOURCE DIRECTORY`, with the standard library alone: it connects to what was bound
outside, binds what is connected to from outside, and prints what went wrong with either.
"""

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

OUTSIDE, INSIDE = "outside.sock", "inside.sock"
WORD = b"berth"
SECONDS = 5.0
"""For whoever is outside to come."""


def main(directory: Path) -> None:
    connected = _wrong(lambda: _connect(directory / OUTSIDE))
    # last: whoever connects to it is answered at once
    bound = _wrong(lambda: _answer(directory / INSIDE))
    sys.stdout.write(json.dumps({"connect": connected, "bind": bound}))


def _wrong(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except OSError as error:
        return str(error) or type(error).__name__
    return ""


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(str(path))
        connection.sendall(WORD)
        if connection.recv(len(WORD)) != WORD:
            raise ConnectionError("what is sent does not arrive")


def _answer(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(SECONDS)
        listener.bind(str(path))
        listener.listen()
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(SECONDS)
            connection.sendall(connection.recv(len(WORD)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
