"""A quirk's handling taken away: an image in which an agent's profile lacks one line of it.

`--without codex:modes` and the like; the suite has to fail then, or it proves nothing about it.
"""

import io
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.engine import Engine, threaded

PROFILES = "/opt/berth/executor/agents/profiles"
HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Quirk:
    """One of quirks.toml."""

    name: str
    agent: str
    lines: tuple[str, ...]
    """Lines of its profile that are taken away, as they stand there."""
    shown_by: tuple[str, ...]
    """Checks that fail then."""

    @property
    def tag(self) -> str:
        return f"berth-executor-agents:without-{self.name}"


def quirks() -> dict[str, Quirk]:
    found = tomllib.loads((HERE / "quirks.toml").read_text())
    return {
        name: Quirk(
            name=name,
            agent=one["agent"],
            lines=tuple(one["lines"]),
            shown_by=tuple(one["shown_by"]),
        )
        for name, one in found.items()
    }


async def image_without(engine: Engine, image: str, quirk: Quirk | None) -> str:
    """The image itself, or one on it with another profile."""
    if quirk is None:
        return image
    path = f"{PROFILES}/{quirk.agent}.toml"

    def build() -> str:
        text = engine.client.containers.run(image, ["cat", path], remove=True).decode()
        engine.client.images.build(
            fileobj=_context(image, path, less(text, quirk)), custom_context=True, tag=quirk.tag,
            rm=True, forcerm=True,
        )  # fmt: skip
        return quirk.tag

    return await threaded(build)


def less(profile: str, quirk: Quirk) -> str:
    """Raises ValueError for a line that does not stand there: it proves nothing then."""
    lines = profile.splitlines()
    for line in quirk.lines:
        if line not in lines:
            raise ValueError(f"the profile of {quirk.agent} has no line {line!r}")
        lines.remove(line)
    return "\n".join(lines) + "\n"


def _context(image: str, path: str, profile: str) -> io.BytesIO:
    found = io.BytesIO()
    files = {"Dockerfile": f"FROM {image}\nCOPY profile {path}\n", "profile": profile}
    with tarfile.open(fileobj=found, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text.encode()), 0o644
            archive.addfile(member, io.BytesIO(text.encode()))
    found.seek(0)
    return found
