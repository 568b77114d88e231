"""A profile of the operator's own, for `mortal_agent.py`."""

from pathlib import Path

AGENT = Path(__file__).with_name("mortal_agent.py")
PROFILE = """
name = "mortal"
title = "Mortal agent"
command = ["{{python}}", "{agent}"]
default_mode = "default"

[modes]
default = "default"
"""


def profiles_in(place: Path) -> Path:
    """A directory that holds it."""
    folder = place / "profiles"
    folder.mkdir(exist_ok=True)
    (folder / "mortal.toml").write_text(PROFILE.format(agent=AGENT))
    return folder
