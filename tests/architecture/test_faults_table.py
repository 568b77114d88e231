"""What `docs/faults.md` says is proven by a test: its tests are there, under these names."""

import re

import pytest

from tests.architecture import sources

CASES = {
    *({f"C{number:02}" for number in range(1, 19)} - {"C06", "C11"}),
    *({f"I{number:02}" for number in range(1, 22)} - {"I09", "I16"}),
    *({f"K{number:02}" for number in range(1, 14)} - {"K05", "K08"}),
}
LINES = [
    line
    for line in (sources.ROOT / "docs/faults.md").read_text().splitlines()
    if line.startswith("| ") and "`tests/" in line
]


def test_table__has_each_case_once() -> None:
    names = [line.split(" | ")[0].strip("| ") for line in LINES]
    assert sorted(name for name in names if name != "\N{EN DASH}") == sorted(CASES)


@pytest.mark.parametrize("line", LINES)
def test_table__each_named_test_is_in_its_file(line: str) -> None:
    for path, words in re.findall(r"`(tests/[^`]+\.py)`(?: \(([^)]*)\))?", line):
        content = (sources.ROOT / path).read_text()
        for name in re.findall("`([a-z_]+)\N{HORIZONTAL ELLIPSIS}?`", words):
            assert re.search(rf"def {name}", content), f"{path} has no {name}"
