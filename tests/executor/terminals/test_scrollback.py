"""The ring of what was written."""

from executor.terminals.scrollback import Scrollback


def test_reading__goes_by_absolute_numbers() -> None:
    ring = Scrollback(1000)
    ring.append(b"hello ")
    ring.append(b"world")
    assert (ring.start, ring.end) == (0, 11)
    assert ring.read(6, 100) == b"world"


def test_ring__stays_bounded_and_knows_where_it_begins() -> None:
    ring = Scrollback(1000)
    for number in range(1000):
        ring.append(b"%09d\n" % number)
    assert ring.end == 10_000
    assert 1000 <= ring.end - ring.start <= 1250
    assert ring.read(ring.end - 10, 100) == b"000000999\n"


def test_cut__begins_at_a_line() -> None:
    ring = Scrollback(100)
    ring.append(b"first line\n" + b"x" * 200 + b"\nnext line\nlast")
    assert ring.read(ring.line_after(ring.start), 100) == b"next line\nlast"


def test_cut__without_lines_begins_at_a_character() -> None:
    ring = Scrollback(101)
    ring.append("ü".encode() * 200)
    ring.read(ring.line_after(ring.start), 200).decode()
