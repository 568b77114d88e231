"""What each check came to, as lines while it goes on and as a table for the documents."""

import time
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

BEGIN, END = "<!-- conformance -->", "<!-- /conformance -->"

Outcome = Literal["yes", "n/a", "failed"]


@dataclass
class Report:
    outcomes: dict[str, dict[str, Outcome]] = field(default_factory=dict[str, dict[str, Outcome]])
    """By agent, then by check."""
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)  # noqa: T201 - it reports

    def told(self, agent: str, check: str, outcome: Outcome, *, seconds: float, why: str) -> None:
        self.outcomes.setdefault(agent, {})[check] = outcome
        mark = {"yes": "ok  ", "n/a": "n/a ", "failed": "FAIL"}[outcome]
        self.say(f"{mark}  {agent}: {check} ({seconds:.1f} s){': ' if why else ''}{why}")

    def explain(self, error: BaseException) -> None:
        self.say("".join(traceback.format_exception(error, chain=False)))

    @property
    def checks(self) -> int:
        return sum(len(one) for one in self.outcomes.values())

    @property
    def failed(self) -> list[str]:
        return [
            f"{agent}: {check}"
            for agent, found in self.outcomes.items()
            for check, outcome in found.items()
            if outcome == "failed"
        ]


def reason_of(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:600]


def table(
    report: Report,
    order: Iterable[str],
    lacks: Mapping[str, Mapping[str, str]],
    introduced: Mapping[str, Any],
) -> str:
    """Agents across, with their versions; below it why what is n/a is so."""
    agents = [name for name in introduced if name in report.outcomes]
    heads = [f"{name} {version_of(introduced[name])}".strip() for name in agents]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(agents)]
    notes: list[str] = []
    for check in order:
        cells = [_cell(report, agent, check, lacks, notes) for agent in agents]
        if any(cells):
            lines.append(f"| {check} | {' | '.join(cells)} |")
    told = [f"{number}. {note}" for number, note in enumerate(notes, start=1)]
    return "\n".join([*lines, "", *told]).rstrip()


def _cell(
    report: Report,
    agent: str,
    check: str,
    lacks: Mapping[str, Mapping[str, str]],
    notes: list[str],
) -> str:
    outcome = report.outcomes[agent].get(check)
    if outcome != "n/a":
        return {"yes": "yes", "failed": "**failed**", None: ""}[outcome]
    why = f"{agent}: {lacks[agent][check]}."
    if why not in notes:
        notes.append(why)
    return f"n/a ({notes.index(why) + 1})"


def version_of(introduced: Mapping[str, Any]) -> str:
    """The profile's, which the image has; else what the agent calls itself."""
    info = introduced.get("agentInfo") or {}
    return str(introduced.get("version") or info.get("version") or "")


def write_table(path: Path, text: str) -> None:
    """Between its marks; everything else in the document stays."""
    before, mark, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise ValueError(f"{path.name} has no place for the table: {BEGIN} … {END}")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
