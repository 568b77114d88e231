import tomllib
from pathlib import Path

from chassis.app import VERSION


def test_version__is_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["version"] == VERSION
