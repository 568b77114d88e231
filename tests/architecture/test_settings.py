"""`.env.example` names every setting of every service, with its default, and nothing else."""

import ast

from deploy.write_env_example import EXAMPLE, STRUCTS, render
from tests.architecture import sources


def test_example__is_what_make_env_example_writes() -> None:
    assert sources.text(EXAMPLE) == render()


def test_example__has_every_service() -> None:
    """A module `settings` with a struct `Settings` is a service's."""
    found = {
        path.parent.relative_to(sources.ROOT).as_posix()
        for path in sources.python(*sources.PACKAGES)
        if path.name == "settings.py"
        for node in sources.tree(path).body
        if isinstance(node, ast.ClassDef) and node.name == "Settings"
    }
    assert found == set(STRUCTS)
