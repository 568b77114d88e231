"""Nothing ends as unknown: each place that ends something names a reason of the closed list."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from contracts.reasons import ADVICE, Reason
from tests.architecture import sources

ENDING = {
    "executor": frozenset({"AgentFailed", "failed", "Finish", "RunInterrupted"}),
    "control_plane": frozenset({"RunEnd", "lose", "retry_or_fail"}),
}
"""Calls that take a reason. `Verdict` too, where it is a turn's."""
TURNS_VERDICTS = "executor/agents/verdict.py"
HANDED_ON = frozenset(
    {
        "reason",
        "ending",
        "ended.reason",
        "entry.reason",
        "failure.reason",
        "result.reason",
        "reason_of_status(answer.status)",
    }
)
"""What holds a reason that another place here has named; the type checker knows that it is one."""


@dataclass(frozen=True)
class Site:
    place: str
    reason: str
    detail: ast.expr | None

    @property
    def name(self) -> str:
        return self.reason.removeprefix("Reason.")


def sites() -> Iterator[Site]:
    for package, ending in ENDING.items():
        for path in sources.python(package):
            calls = ending | ({"Verdict"} if sources.name(path) == TURNS_VERDICTS else set())
            for node in ast.walk(sources.tree(path)):
                if isinstance(node, ast.Call) and _called(node) in calls:
                    yield from _site(node, f"{sources.name(path)}:{node.lineno}")


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _site(call: ast.Call, place: str) -> Iterator[Site]:
    keywords = {word.arg: word.value for word in call.keywords}
    given = [keywords["reason"]] if "reason" in keywords else call.args
    at, found = next(((at, f) for at, one in enumerate(given) if (f := _reasons(one))), (0, ["?"]))
    after = [] if "reason" in keywords else call.args[at + 1 :]
    detail = keywords.get("detail", after[-1] if after else None)
    for reason in found:
        yield Site(place, reason, detail)


def _reasons(argument: ast.expr) -> list[str]:
    """Each `Reason.X`, in whatever branch of it; else the argument as it is, if it holds one."""
    named = [
        ast.unparse(one)
        for one in ast.walk(argument)
        if isinstance(one, ast.Attribute) and ast.unparse(one.value) == "Reason"
    ]
    whole = ast.unparse(argument)
    return named or ([whole] if whole in HANDED_ON else [])


def test_reasons__each_has_a_remedy() -> None:
    assert set(ADVICE) == set(Reason)
    short = [reason for reason, advice in ADVICE.items() if len(advice.remedy.split()) < 3]
    assert short == []
    assert [r for r, advice in ADVICE.items() if not advice.remedy.endswith(".")] == []


def test_endings__name_a_reason_of_the_list() -> None:
    found = list(sites())
    assert len(found) > 30
    unknown = [
        site
        for site in found
        if site.reason not in HANDED_ON and site.name not in Reason.__members__
    ]
    assert unknown == [], "name a Reason, or say in HANDED_ON what holds one"


def test_endings__of_which_only_the_agent_knows_say_what_it_said() -> None:
    silent = [
        site.place
        for site in sites()
        if site.name == "AGENT_ERROR" and (site.detail is None or _is_empty(site.detail))
    ]
    assert silent == []


def _is_empty(detail: ast.expr) -> bool:
    return isinstance(detail, ast.Constant) and not detail.value
