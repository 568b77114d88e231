"""`python -m executor.agents [PATH [DIRECTORY]]`: which agents can run here, as one JSON array.

For services that may not import this package, such as a manager at its registration. DIRECTORY
holds further profiles; what is wrong with one of them is said beside, on standard error, or as what
its agent is missing.
"""

import os
import sys
from pathlib import Path

import msgspec

from executor.agents.profile import FURTHER, complaints
from executor.agents.requirements import Missing, available_agents


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    agent: str
    missing: Missing | None


def main(arguments: list[str]) -> None:
    path = arguments[0] if arguments else os.defpath
    further = Path(arguments[1]) if len(arguments) > 1 else FURTHER
    for complaint in complaints(further):
        sys.stderr.write(f"{complaint}\n")
    offers = [
        Offer(agent=name, missing=lack) for name, lack in available_agents(path, further).items()
    ]
    sys.stdout.buffer.write(msgspec.json.encode(offers) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
