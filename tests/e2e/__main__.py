"""`make e2e`: the whole product, driven from outside; JSON on its last line.

Given BERTH_URL and BERTH_KEY, the black-box cases are played against that installation and nothing
else is touched. Otherwise a stack of our own is started from nothing, driven, broken and removed.

`activation_ms_p50` and `resume_ms_p50` are by this process's clock, from the POST of a message
until the session's event `worker.step ready` came in: of a new session, and of one whose container
was removed; `neighbour_ms_p50` of a run beside sessions that are abused, and before they are.
`left_behind` counts what the engines and the kernel still have of it afterwards.
"""

import argparse
import asyncio
import sys
import time

import msgspec

from cli.settings import read_settings
from tests.e2e.cases import Figures, Player, Report
from tests.e2e.cases_approval import APPROVAL
from tests.e2e.cases_cancel import CANCEL
from tests.e2e.cases_conversation import CONVERSATION
from tests.e2e.cases_files import FILES
from tests.e2e.cases_refusals import REFUSALS
from tests.e2e.client import client
from tests.e2e.logs import told_right
from tests.e2e.whole import PARTS, Whole

BLACK_BOX = [*CONVERSATION, *APPROVAL, *CANCEL, *FILES, *REFUSALS]
AT_ONCE = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="make e2e")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--part", action="append", choices=PARTS, help="repeat it; default: all")
    wishes = parser.parse_args()
    settings = read_settings()
    report, figures = Report(only=wishes.only), Figures()
    if settings.url is None:
        whole = Whole(report, figures, BLACK_BOX, wishes.part or PARTS)
        told = asyncio.run(whole.play())
    elif settings.key is None:
        parser.error("BERTH_URL needs BERTH_KEY")
    else:
        asyncio.run(outside(settings.url, settings.key, report, figures))
        told = {}
    summary = {
        "ok": report.ok,
        "cases": report.cases,
        "activation_ms_p50": figures.median("activation"),
        "resume_ms_p50": figures.median("resume"),
        "neighbour_ms_p50": figures.median("neighbour"),
        "neighbour_before_ms_p50": figures.median("neighbour_before"),
        **told,
        "failed": report.failures,
        "seconds": round(time.monotonic() - report.began),
    }
    print(msgspec.json.encode(summary).decode(), flush=True)  # noqa: T201 - its last line
    return 0 if report.ok else 1


async def outside(url: str, key: str, report: Report, figures: Figures) -> None:
    async with client(url, key) as api:
        await Player(api, figures, report, told_right).play(BLACK_BOX, at_once=AT_ONCE)


if __name__ == "__main__":
    sys.exit(main())
