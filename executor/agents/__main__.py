"""`python -m executor.agents [PATH]`: which agents can run here, as one JSON array.

For services that may not import this package, such as a manager at its registration.
"""

import os
import sys

import msgspec

from executor.agents.profile import Missing, available_agents


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    agent: str
    missing: Missing | None


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else os.defpath
    offers = [Offer(agent=name, missing=lack) for name, lack in available_agents(path).items()]
    sys.stdout.buffer.write(msgspec.json.encode(offers) + b"\n")


if __name__ == "__main__":
    main()
