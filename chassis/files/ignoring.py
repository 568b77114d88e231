"""What a person wants left out of snapshots: `.berthignore`, in the syntax of gitignore(5).

One may stand in any directory and speaks of what is beneath it; the one that is deepest has the
last word, and in one file the last line that fits. What is in an ignored directory is ignored,
whatever a line after it says. Without such a file nothing is left out.
"""

import os
import re
import stat

import msgspec

RULES = b".berthignore"
RULES_BYTES = 64 * 1024
"""What stands beyond is not read."""


class Rule(msgspec.Struct, frozen=True):
    fits: re.Pattern[bytes]
    """Of a path that is relative to the directory where the rule stands."""
    directories_only: bool
    keeps: bool
    """It began with `!`."""


class Rules:
    """Those of one directory, and of the ones above it."""

    def __init__(self, rules: list[Rule], path: bytes, above: "Rules | None") -> None:
        self._rules = rules
        self._from = len(path) + 1 if path else 0
        self._above = above

    def ignores(self, path: bytes, *, directory: bool) -> bool:
        """`path` is relative to the workspace and beneath where these rules stand."""
        relative = path[self._from :]
        for rule in reversed(self._rules):
            if (directory or not rule.directories_only) and rule.fits.fullmatch(relative):
                return not rule.keeps
        return self._above is not None and self._above.ignores(path, directory=directory)


def rules_in(handle: int, path: bytes, above: Rules | None) -> Rules | None:
    """Of the directory `path`, open as `handle`, which has such a file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(RULES, flags, dir_fd=handle)
    except OSError:
        # a link, or not ours to read: it says nothing
        return above
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return above
        return Rules(parsed(os.pread(file, RULES_BYTES, 0)), path, above)
    finally:
        os.close(file)


def parsed(content: bytes) -> list[Rule]:
    found = (_rule(line.removesuffix(b"\r")) for line in content.split(b"\n"))
    return [rule for rule in found if rule is not None]


def _rule(line: bytes) -> Rule | None:
    line = _without_spaces(line)
    if not line or line.startswith(b"#"):
        return None
    keeps = line.startswith(b"!")
    line = line[keeps:]
    directories_only = line.endswith(b"/")
    line = line.rstrip(b"/") if directories_only else line
    if not line:
        return None
    anchored = b"/" in line
    pattern = _pattern(line.removeprefix(b"/"))
    try:
        fits = re.compile(pattern if anchored else b"(?:.*/)?" + pattern, re.DOTALL)
    except re.error:
        # a bracket that means nothing, as `[z-a]`: it fits nothing
        return None
    return Rule(fits, directories_only, keeps)


def _without_spaces(line: bytes) -> bytes:
    """At its end, but for one after a backslash."""
    kept = line.rstrip(b" ")
    escapes = len(kept) - len(kept.rstrip(b"\\"))
    return kept + b" " if escapes % 2 and len(kept) < len(line) else kept


_TOKEN = re.compile(
    rb"(?P<through>(?:(?<=/)|^)\*\*/)"
    rb"|(?P<beneath>(?<=/)\*\*$)"
    rb"|(?P<stars>\*+)"
    rb"|(?P<one>\?)"
    rb"|(?P<bracket>\[[!^]?\]?(?:\\.|\[:[a-z]+:\]|[^\]\\])*\])"
    rb"|\\(?P<escaped>.)"
    rb"|(?P<plain>.)",
    re.DOTALL,
)
_CLASSES = {
    b"[:alnum:]": rb"0-9A-Za-z",
    b"[:alpha:]": rb"A-Za-z",
    b"[:blank:]": rb" \t",
    b"[:digit:]": rb"0-9",
    b"[:lower:]": rb"a-z",
    b"[:space:]": rb"\s",
    b"[:upper:]": rb"A-Z",
    b"[:xdigit:]": rb"0-9A-Fa-f",
}


def _pattern(line: bytes) -> bytes:
    """Each star, and each `**/`, takes the shortest way to what stands before the next, and never
    goes back there (`(?>`): a line of many stars would otherwise take longer than anybody waits.
    """
    tokens = [(token.lastgroup or "", token) for token in _TOKEN.finditer(line)]
    stars = [at for at, (kind, _) in enumerate(tokens) if kind == "stars"]
    throughs = [at for at, (kind, _) in enumerate(tokens) if kind == "through"]
    pieces: list[bytes] = []
    in_star = in_through = False
    for at, (kind, token) in enumerate(tokens):
        if in_star and kind in {"stars", "through", "beneath"}:
            pieces.append(b")")
            in_star = False
        if in_through and kind == "through":
            pieces.append(b")")
            in_through = False
        if kind == "stars" and at != stars[-1]:
            pieces.append(b"(?>[^/]*?")
            in_star = True
        elif kind == "through" and at != throughs[-1]:
            pieces.append(b"(?>(?:.*?/)??")
            in_through = True
        else:
            pieces.append(_piece(kind, token))
    return b"".join(pieces) + b")" * (in_star + in_through)


_FIXED = {"through": b"(?:.*/)?", "beneath": b".+", "stars": b"[^/]*", "one": b"[^/]"}


def _piece(kind: str, token: re.Match[bytes]) -> bytes:
    if kind in _FIXED:
        return _FIXED[kind]
    return _bracket(token["bracket"]) if kind == "bracket" else re.escape(token[kind])


def _bracket(text: bytes) -> bytes:
    inner = text[1:-1]
    negated = inner[:1] in {b"!", b"^"}
    inner = inner[negated:]
    for name, characters in _CLASSES.items():
        inner = inner.replace(name, characters)
    inner = inner.replace(b"[", rb"\[").replace(b"&&", rb"&\&").replace(b"||", rb"|\|")
    if inner.startswith(b"]"):
        inner = b"\\" + inner
    return b"(?!/)[" + (b"^" if negated else b"") + inner + b"]"
