"""Whatever event an executor makes, the control plane takes: it names those that it takes."""

import ast

from contracts import events, worker_events
from contracts.events import Event
from control_plane.domain.reported_events import REPORTABLE
from tests.architecture import sources

EVENTS = {
    name
    for module in (events, worker_events)
    for name, found in vars(module).items()
    if isinstance(found, type) and issubclass(found, Event)
}


def made(tree: ast.AST) -> set[str]:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {call.id for call in calls if isinstance(call, ast.Name)} & EVENTS


def test_events_of_executors__are_taken() -> None:
    taken = {kind.__name__ for kind in REPORTABLE}
    code = [path for path in sources.files() if sources.name(path).startswith("executor/")]
    found = {
        name
        for path in code
        if path.suffix == ".py"
        for name in made(ast.parse(sources.text(path)))
    }
    assert {"WorkspaceRestored", "WorkspaceProgress"} <= found
    assert found - taken == set()
