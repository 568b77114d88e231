"""What `docs/faults.md` says is proven by a test: its tests are there, under these names, and its
checks, each of which is seen red somewhere.
"""

import re

import pytest

from tests.architecture import sources
from tests.e2e import escapes, probe, ways
from tests.e2e.blindness import OUTSIDE
from tests.e2e.weakened import WEAKNESSES
from tests.e2e.weakened_escapes import ESCAPES
from tests.executor_manager.relay.test_from_inside import SEEN

CASES = {
    *({f"C{number:02}" for number in range(1, 19)} - {"C06", "C11"}),
    *({f"D{number:02}" for number in range(1, 26)} - {"D06", "D12", "D17"}),
    *(f"G{number:02}" for number in range(1, 10)),
    *("H01", "H09", "H11"),
    *({f"I{number:02}" for number in range(1, 22)} - {"I09", "I16"}),
    *({f"K{number:02}" for number in range(1, 14)} - {"K05", "K08"}),
}
LINES = [
    line
    for line in (sources.ROOT / "docs/faults.md").read_text().splitlines()
    if line.startswith("| ") and "`tests/" in line
]
INSIDE = {check.__name__ for check in (*probe.CHECKS, *escapes.CHECKS)}
BY_RELAY = {check.__name__ for check in ways.CHECKS}


def test_table__has_each_case_once() -> None:
    names = [line.split(" | ")[0].strip("| ") for line in LINES]
    assert sorted(name for name in names if name != "\N{EN DASH}") == sorted(CASES)


@pytest.mark.parametrize("line", LINES)
def test_table__each_named_test_is_in_its_file(line: str) -> None:
    for path, words in re.findall(r"`(tests/[^`]+\.py)`(?: \(([^)]*)\))?", line):
        content = (sources.ROOT / path).read_text()
        for name in re.findall("`([a-z_]+)\N{HORIZONTAL ELLIPSIS}?`", words):
            assert re.search(rf"def {name}", content), f"{path} has no {name}"


def test_checks__that_are_quoted_are_there() -> None:
    quoted = {name for line in LINES for name in re.findall(r'"([a-z]+)"', line)}
    assert quoted - INSIDE - BY_RELAY == set()


def test_checks__each_is_seen_red() -> None:
    """In a container that is weakened for it, or by an open gate."""
    assert {one.check for one in (*WEAKNESSES, *ESCAPES)} == INSIDE | {*OUTSIDE}
    assert {*SEEN} == BY_RELAY
