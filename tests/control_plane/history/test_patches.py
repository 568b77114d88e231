"""Patches and their bounds, without a store."""

from itertools import count
from types import SimpleNamespace

import pytest

from contracts.differences import ChangedSide, TreeKind
from control_plane.domain import differences
from control_plane.domain.differences import TooDifferent, text_of, unified
from control_plane.domain.patches import patch

FILE = ChangedSide(kind=TreeKind.FILE, size=1, mode=0o644)
RUNNABLE = ChangedSide(kind=TreeKind.FILE, size=1, mode=0o755)
LINK = ChangedSide(kind=TreeKind.LINK, size=0, mode=0o777)


def test_unified__hunks_as_diff_has_them() -> None:
    before = "".join(f"{n}\n" for n in range(20))
    after = before.replace("5\n", "five\n", 1) + "more"
    assert unified(before, after) == (
        "@@ -3,7 +3,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"
        "@@ -18,3 +18,4 @@\n 17\n 18\n 19\n+more\n\\ No newline at end of file\n"
    )
    assert unified("", "a\n") == "@@ -0,0 +1 @@\n+a\n"
    assert unified("a\r\n\x0cb\n", "a\r\n\x0cb\n") == ""


def test_unified__is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{n % 700}\n" for n in range(19_000)]
    other = [f"{n * 7 % 701}\n" for n in range(19_000)]
    # each look at the clock finds it a quarter of a second later
    monkeypatch.setattr(differences, "time", SimpleNamespace(monotonic=count(0, 0.25).__next__))
    with pytest.raises(TooDifferent):
        unified("".join(lines), "".join(other))


def test_patch__of_modes_and_kinds() -> None:
    modes = patch(b"run.sh", (FILE, "a\n"), (RUNNABLE, "a\n"))
    assert modes == "diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n"
    assert patch(b"e", None, (FILE, "")) == "diff --git a/e b/e\nnew file mode 100644\n"
    kinds = patch(b"x", (FILE, "a\n"), (LINK, "y"))
    assert kinds.index("deleted file mode 100644") < kinds.index("new file mode 120000")
    name = patch('a"\n\u00fc'.encode(), None, (FILE, "x\n"))
    assert '"b/a\\"\\n\\303\\274"' in name
    assert "+++ b/with space\t\n" in patch(b"with space", None, (FILE, "x\n"))


def test_text_of__what_is_none() -> None:
    assert text_of(b"a\0b") is None
    assert text_of(b"\xff") is None
    assert text_of("ü".encode()) == "ü"
