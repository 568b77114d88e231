"""Which paths are of a session's worker: in one spelling, and no longer than known ones."""

from uuid import UUID

import pytest

from gateway.paths import of_worker

SESSION = UUID("01a1fdde-72a9-7177-990e-9b3561938bac")


@pytest.mark.parametrize(
    ("rest", "found"),
    [
        ("logs", ("logs", "")),
        ("tty", ("tty", "")),
        ("tty/exec", ("tty", "exec")),
        ("workspace/file", ("workspace", "file")),
    ],
)
def test_path__names_session_and_what_is_asked(rest: str, found: tuple[str, str]) -> None:
    path = f"/api/v1/session-workers/{SESSION}/{rest}"
    assert of_worker(path.encode()) == (SESSION, *found)


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/session-workers/{SESSION}",
        f"/api/v1/session-workers/{SESSION}/",
        f"/api/v1/session-workers/{SESSION}/tty/",
        f"/api/v1/session-workers/{SESSION}/%74ty",
        f"/api/v1/session-workers/{SESSION}/workspace/file/more",
        f"/api/v1/session-workers/{SESSION}/workspace/{'x' * 21}",
        f"/api/v1/session-workers/{'-' * 36}/logs",
        f"/api/v1/session-workers/{SESSION.hex}/logs",
        f"/api/v2/session-workers/{SESSION}/logs",
    ],
)
def test_other_path__is_none(path: str) -> None:
    assert of_worker(path.encode()) is None
