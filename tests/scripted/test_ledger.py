"""What the scripted model writes down, and when."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor, wait

from scripted.ledger import Books


class Held(io.StringIO):
    """Its first line waits."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = threading.Event(), threading.Event()

    def write(self, text: str) -> int:
        self.begun.set()
        assert self.go.wait(30)
        return super().write(text)


def test_open__until_its_end_is_written() -> None:
    log = Held()
    books = Books(log=log, ledger=None)
    exchange = books.opened("one", "/v1/messages")
    with ThreadPoolExecutor(2) as threads:
        ending = threads.submit(exchange.end, "complete", complete=True)
        assert log.begun.wait(30)
        looking = threads.submit(lambda: (books.open(), log.getvalue()))
        wait([looking], timeout=0.2)  # who did not wait would have looked by now
        log.go.set()
        ending.result(30)
        still_open, written = looking.result(30)
    assert still_open or "complete" in written
