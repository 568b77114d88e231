"""Names of files: bytes, told as text, and the same bytes again when they are given back."""

import re
from fnmatch import translate
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from chassis.errors import BerthError
from contracts.errors import Code

NAME_BYTES = 255
MOST_STARS = 8
"""In one pattern: what a match may cost grows with them."""


class Shown(msgspec.Struct, frozen=True):
    text: str
    escaped: bool
    """It is no UTF-8: the text is its bytes, percent-escaped."""


def shown(path: bytes) -> Shown:
    try:
        return Shown(path.decode(), escaped=False)
    except UnicodeDecodeError:
        return Shown(quote_from_bytes(path), escaped=True)


def for_people(path: bytes) -> str:
    """In an error's text."""
    return path.decode(errors="backslashreplace")[:300]


def bytes_of(text: str, *, escaped: bool, field: str = "path") -> bytes:
    """Raises `validation_failed`."""
    if escaped:
        return unquote_to_bytes(text)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise wrong(field, "text in UTF-8, or percent-escaped bytes with escaped=1") from error


def checked(path: bytes, *, most: int, field: str = "path") -> bytes:
    """A plain relative path, or empty. Raises `validation_failed`."""
    expected = "a path relative to the workspace, without '.', '..' or empty parts"
    if len(path) > most:
        raise wrong(field, f"a path of at most {most} bytes")
    for part in path.split(b"/") if path else []:
        if part in {b"", b".", b".."} or b"\0" in part:
            raise wrong(field, expected, path)
        if len(part) > NAME_BYTES:
            raise wrong(field, f"names of at most {NAME_BYTES} bytes", path)
    return path


def leads_out(path: bytes, target: bytes) -> bool:
    """Whether a link at `path` points anywhere but beneath the top, by its text alone."""
    if not target or target.startswith(b"/") or b"\0" in target:
        return True
    depth = path.count(b"/")
    for part in target.split(b"/"):
        if part == b"..":
            depth -= 1
        elif part not in {b"", b"."}:
            depth += 1
        if depth < 0:
            return True
    return False


def wrong(field: str, expected: str, path: bytes | None = None) -> BerthError:
    """What `expected` says would be right."""
    error = BerthError(
        Code.VALIDATION, f"{field}: expected {expected}", field=field, expected=expected
    )
    if path is not None:
        error.details["path"] = for_people(path)
    return error


class Glob:
    """`*.py` is compared with names, `src/*.py` with whole paths beneath the top; `*` is any run of
    characters, `/` too.
    """

    def __init__(self, pattern: str, *, fold: bool = False) -> None:
        self._whole = "/" in pattern
        self._matches = re.compile(translate(pattern), re.IGNORECASE if fold else 0).match

    def matches(self, path: bytes) -> bool:
        """`path` relative to the top."""
        subject = path if self._whole else path.rpartition(b"/")[2]
        return self._matches(subject.decode(errors="surrogateescape")) is not None


def glob_of(pattern: str, *, most: int, field: str = "name", fold: bool = False) -> Glob:
    """Raises `validation_failed`."""
    if not 0 < len(pattern) <= most or pattern.count("*") > MOST_STARS:
        raise wrong(field, f"a pattern of 1 to {most} characters with at most {MOST_STARS} *")
    return Glob(pattern, fold=fold)
