"""`make e2e`: the whole product, driven from outside; JSON on its last line.

Given BERTH_URL and BERTH_KEY, the black-box cases are played against that installation and nothing
else is touched. Otherwise a stack of our own is built, started from nothing, driven, broken and
removed.
"""

import argparse
import asyncio
import sys
from typing import Any

import msgspec

from cli.settings import read_settings
from tests.e2e.cases import Case, Figures, Player, Report
from tests.e2e.cases_approval import APPROVAL
from tests.e2e.cases_cancel import CANCEL
from tests.e2e.cases_conversation import CONVERSATION
from tests.e2e.cases_files import FILES
from tests.e2e.cases_refusals import REFUSALS
from tests.e2e.client import client
from tests.e2e.logs import told_right

BLACK_BOX = [*CONVERSATION, *APPROVAL, *CANCEL, *FILES, *REFUSALS]
AT_ONCE = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="make e2e")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    wishes = parser.parse_args()
    settings = read_settings()
    report = Report()
    if settings.url is None or settings.key is None:
        parser.error("give BERTH_URL and BERTH_KEY")
    told = asyncio.run(black_box(settings.url, str(settings.key), report, wishes.only))
    print(msgspec.json.encode(told).decode(), flush=True)  # noqa: T201 - its last line
    return 0 if told["ok"] else 1


def chosen(cases: list[Case], only: str) -> list[Case]:
    return [case for case in cases if only in case.name]


async def black_box(url: str, key: str, report: Report, only: str) -> dict[str, Any]:
    figures = Figures()
    async with client(url, key) as api:
        player = Player(api, figures, report, told_right)
        await player.play(chosen(BLACK_BOX, only), at_once=AT_ONCE)
    return summary(report, figures)


def summary(report: Report, figures: Figures) -> dict[str, Any]:
    return {
        "ok": report.ok,
        "cases": report.cases,
        "activation_ms_p50": figures.median("activation"),
        "resume_ms_p50": figures.median("resume"),
        "failed": report.failures,
    }


if __name__ == "__main__":
    sys.exit(main())
