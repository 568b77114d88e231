"""`python -m executor_manager.containers.examine HOST PLACE`: the preflight of an engine, as JSON.

For `berth doctor` on a host where no manager of the docker backend runs.
"""

import sys
from pathlib import Path

import msgspec

from contracts.preflight import PreflightFinding
from executor_manager.containers.docker_engine import Engine
from executor_manager.containers.docker_facts import look
from executor_manager.containers.errors import BackendError
from executor_manager.containers.preflight import examine

CALL_SECONDS = 5.0


def main() -> None:
    host, place = sys.argv[1:3]
    try:
        found = _examined(host, Path(place))
    except BackendError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(msgspec.json.encode(found))


def _examined(host: str, place: Path) -> list[PreflightFinding]:
    engine = Engine(host, CALL_SECONDS)
    try:
        return examine(look(engine, engine.check(), place))
    finally:
        engine.close()


if __name__ == "__main__":
    main()
