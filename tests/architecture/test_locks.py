"""What is installed is locked: exact versions, each with hashes, and no registry's name."""

import re
from pathlib import Path

import pytest

from tests.architecture import sources

LOCKS = sorted(sources.ROOT.glob("requirements*.lock"))
REQUIREMENT = re.compile(
    r"[a-z0-9][a-z0-9.-]*(\[[a-z0-9,-]+\])?==[^\s;]+( ; [^\\]+)?( --hash=sha256:[0-9a-f]{64})+"
)


def test_locks__are_there() -> None:
    names = {path.name for path in LOCKS}
    assert {"requirements.lock", "requirements-services.lock"} <= names


@pytest.mark.parametrize("path", LOCKS, ids=sources.name)
def test_lock__has_exact_versions_and_hashes_alone(path: Path) -> None:
    joined = re.sub(r" ?\\\n\s*", " ", path.read_text())
    assert [line for line in joined.splitlines() if not REQUIREMENT.fullmatch(line)] == []
