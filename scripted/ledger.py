"""What the scripted model writes down: a log of what it was asked, and a ledger of tokens.

Both hold one JSON object a line and a request, written before whoever asked can see that its answer
has ended. The ledger holds what is paid for, not lists of models or counts of tokens; its numbers
are those that the answer told: all of them if it is complete, else what had been told until then.
"""

import threading
import time
from collections.abc import Callable
from typing import TextIO

import msgspec

from scripted.scenario import Tokens
from scripted.wire import Json


class Lines:
    """A file to which several threads append JSON; without a file nothing is kept."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._lock = threading.Lock()

    def write(self, record: Json) -> None:
        if self._file is not None:
            with self._lock:
                self._file.write(msgspec.json.encode(record).decode() + "\n")
                self._file.flush()


class Books:
    def __init__(self, *, log: TextIO | None, ledger: TextIO | None) -> None:
        self._log = Lines(log)
        self._ledger = Lines(ledger)
        self._open: dict[str, Exchange] = {}
        self._lock = threading.Lock()

    def opened(self, exchange_id: str, path: str) -> "Exchange":
        exchange = Exchange(exchange_id, path, self._close)
        with self._lock:
            self._open[exchange_id] = exchange
        return exchange

    def open(self) -> list[Json]:
        """What is being answered right now."""
        with self._lock:
            return [exchange.asked for exchange in self._open.values()]

    def close(self) -> None:
        """Writes down what is still open: the server is about to end."""
        with self._lock:
            left = list(self._open.values())
        for exchange in left:
            exchange.end("server stopped", complete=False)

    def _close(self, exchange: "Exchange", line: Json, entry: Json | None) -> None:
        with self._lock:  # until it is written: what is open no more stands in both
            if self._open.pop(exchange.key, None) is None:
                return
            if entry is not None:
                self._ledger.write(entry)
            self._log.write(line)


class Exchange:
    """One request and how it ends; only its first end counts."""

    def __init__(
        self, key: str, path: str, close: Callable[["Exchange", Json, Json | None], None]
    ) -> None:
        self.key = key
        self.path = path
        self.id = key
        """What its answer calls itself."""
        self.status: int | None = None
        self.told = Tokens()
        self.paid = False
        self.asked: Json = {"at": time.time(), "id": key, "path": path, "model": ""}
        self._close = close

    def describe(self, **fields: object) -> None:
        self.asked = {**self.asked, **fields}

    def answers(self, answer_id: str) -> None:
        self.id = answer_id
        self.describe(id=answer_id)

    def end(self, how: str, *, complete: bool) -> None:
        line = {**self.asked, "status": self.status, "ended": how}
        self._close(self, line, self._entry(complete=complete) if self.paid else None)

    def _entry(self, *, complete: bool) -> Json:
        return {
            "id": self.id,
            "path": self.path,
            "model": self.asked["model"],
            "input_tokens": self.told.input,
            "output_tokens": self.told.output,
            "cached_tokens": self.told.cached,
            "thought_tokens": self.told.thought,
            "complete": complete,
            "status": self.status,
        }
