"""`make conformance`: every agent of the image, against a scripted model, in real containers.

A stack of our own is started from nothing and removed. Each check is claimed by a witness outside
of what is tried: the committed snapshot, the engine's lists, the model's own log and ledger. Writes
the table into docs/agents.md when everything was played. JSON on its last line.
"""

import argparse
import asyncio
import sys

import msgspec

from tests.conformance.report import Report, table, write_table
from tests.conformance.suite import IMAGE, ORDER, SERVICES, Suite, lacks
from tests.conformance.without import quirks
from tests.e2e.stack import ROOT

DOCUMENT = ROOT / "docs" / "agents.md"


def main() -> int:
    known = quirks()
    parser = argparse.ArgumentParser(prog="make conformance")
    parser.add_argument("agents", nargs="*", help="of the image; none: all of them")
    parser.add_argument("-k", dest="only", default="", help="a pattern, for names of checks")
    parser.add_argument(
        "--without", choices=known, help="take away how this quirk is handled: it has to fail"
    )
    parser.add_argument("--image", default=IMAGE, help="another one with agents in it")
    parser.add_argument("--services", default=SERVICES, help="another one with the services in it")
    wishes = parser.parse_args()
    quirk = known.get(wishes.without)
    agents: list[str] = wishes.agents or ([quirk.agent] if quirk else [])
    report = Report()
    suite = Suite(
        report,
        agents=agents,
        only=wishes.only,
        image=wishes.image,
        services=wishes.services,
        without=quirk,
    )
    asyncio.run(suite.play())
    whole = wishes.image == IMAGE and not (agents or wishes.only or quirk)
    if whole and suite.introduced:
        write_table(DOCUMENT, table(report, ORDER, lacks(), suite.introduced))
    for failure in report.failed:
        report.say(f"FAIL  {failure}")
    tried = [name for name in report.outcomes if name != "all"]
    summary = {"agents": len(tried), "checks": report.checks, "failed": len(report.failed)}
    print(msgspec.json.encode(summary).decode(), flush=True)  # noqa: T201 - its last line
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
