"""The scripted model: a real process on a socket that answers as model providers do.

`python -m scripted.model_server` prints `{"url": …}` when it listens, and ends on SIGTERM. It
speaks Anthropic's Messages and OpenAI's Responses, Chat Completions and Embeddings, as prompts or a
file say (`scripted.scenario`). Real agents run against it without an account and without internet.
What it was asked stands in its log, what that cost in its ledger (`scripted.ledger`): witnesses
outside of the agent and of the platform. `GET /open` lists what it is answering right now.
"""

import argparse
import functools
import json
import re
import signal
import sys
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TextIO

import msgspec

from scripted.handler import Desk, Handler
from scripted.ledger import Books
from scripted.scenario import Scenario, parse_parts


class ModelServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, desk: Desk) -> None:
        super().__init__((host, port), functools.partial(Handler, desk))


def main() -> None:
    parser = _parser()
    asked = parser.parse_args()
    try:
        scenario = Scenario(parse_parts(asked.scenario.read_bytes()) if asked.scenario else [])
    except (msgspec.DecodeError, re.error) as error:
        parser.error(f"--scenario {asked.scenario}: {error}")
    keys: list[str] = asked.key_file.read_text().split() if asked.key_file else []
    books = Books(log=_opened(asked.log), ledger=_opened(asked.ledger))
    signal.signal(signal.SIGTERM, _stop)
    with ModelServer(asked.host, asked.port, Desk(scenario, books, keys)) as server:
        url = f"http://{asked.host}:{server.server_port}"
        sys.stdout.write(json.dumps({"url": url}) + "\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        finally:
            books.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripted.model_server")
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0)
    add("--log", type=Path, help="what it was asked, and how that ended")
    add("--ledger", type=Path, help="the tokens of each request")
    add("--scenario", type=Path, help="for prompts that carry no script")
    add("--key-file", type=Path, help="the keys that it takes, one a line; without it any")
    return parser


def _stop(_number: int, _frame: object) -> None:
    sys.exit(0)


def _opened(path: Path | None) -> TextIO | None:
    return path.open("a") if path else None


if __name__ == "__main__":
    main()
