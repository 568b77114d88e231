"""Which versions of an engine's parts are known to have ways out of a container.

The figures are of the projects' own advisories. Distributions mend without raising the number:
what an administrator knows to be mended is named in `BERTH_PREFLIGHT_WAIVED`.
"""

import re
from typing import NamedTuple

_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-~]?(?:alpha|beta|rc)[.-]?(\d+))?")
RELEASED = 1_000_000
"""Sorts after every candidate of the same number."""


class Version(NamedTuple):
    major: int
    minor: int
    patch: int = 0
    candidate: int = RELEASED


class Flaw(NamedTuple):
    names: str
    fixed: tuple[Version, ...]
    """The first good one of each branch, ascending; whatever is newer than the last is good."""

    def concerns(self, version: Version) -> bool:
        branch = [fixed for fixed in self.fixed if fixed[:2] == version[:2]]
        return version < (branch or self.fixed)[-1]


ENGINE = (Flaw("CVE-2024-29018", (Version(25, 0, 5),)),)
RUNC = (
    Flaw("CVE-2024-21626", (Version(1, 1, 12),)),
    Flaw(
        "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881",
        (Version(1, 2, 8), Version(1, 3, 3), Version(1, 4, 0, 3)),
    ),
)
CONTAINERD = (
    Flaw("CVE-2020-15257", (Version(1, 3, 9), Version(1, 4, 3))),
    Flaw("CVE-2022-23648", (Version(1, 4, 13), Version(1, 5, 10), Version(1, 6, 1))),
    Flaw("CVE-2024-40635", (Version(1, 6, 38), Version(1, 7, 27), Version(2, 0, 4))),
)
OLDEST_KERNEL = Version(5, 10)
"""The oldest line that its makers still mended when the above were found."""


def parse(text: str) -> Version | None:
    """None: it tells no version."""
    found = _VERSION.match(text)
    if found is None:
        return None
    major, minor, patch, candidate = found.groups()
    return Version(
        int(major), int(minor), int(patch or 0), int(candidate) if candidate else RELEASED
    )


def flaws(version: Version, known: tuple[Flaw, ...]) -> list[Flaw]:
    return [flaw for flaw in known if flaw.concerns(version)]


def floor(known: tuple[Flaw, ...]) -> str:
    """Of every branch that has one, the version to go to."""
    newest = known[-1].fixed
    return " or ".join(_words(version) for version in newest)


def _words(version: Version) -> str:
    candidate = "" if version.candidate == RELEASED else f"-rc.{version.candidate}"
    return f"{version.major}.{version.minor}.{version.patch}{candidate}"
