"""Names that are not for everybody: compared part by part, upper and lower case alike."""

import re
from collections.abc import Sequence
from fnmatch import translate
from urllib.parse import quote, unquote


class Sensitive:
    """`.env` names what is so called and all that is in it; `*` stands for any characters."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._one = [(pattern, re.compile(translate(pattern.lower()))) for pattern in patterns]

    def pattern_of(self, path: bytes) -> str | None:
        """The first that any part of the path matches."""
        if not self._one:
            return None
        for part in path.decode(errors="surrogateescape").lower().split("/"):
            for pattern, expression in self._one:
                if expression.match(part):
                    return pattern
        return None

    def covers(self, path: bytes) -> bool:
        return self.pattern_of(path) is not None


NOTHING = Sensitive(())


def header_of(patterns: Sequence[str]) -> str:
    return ",".join(quote(pattern, safe="*.") for pattern in patterns)


def sensitive_in(header: str) -> Sensitive:
    return Sensitive([unquote(one) for one in header.split(",") if one])
