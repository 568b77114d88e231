"""`python -m executor`: one session's executor, on `executor.sock` in its control directory."""

import sys

from chassis.app import serve
from chassis.failpoints import arm_from
from chassis.logs import bound, configure_logging
from chassis.settings import SettingsError, load
from chassis.telemetry import configure_tracing, stop_tracing
from executor.app import build_app
from executor.settings import Settings


def main() -> int:
    try:
        settings = load(Settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    configure_logging("executor", settings.log_level)
    configure_tracing("executor", settings.trace_exporter)
    arm_from(settings.failpoints)
    with bound(
        session=str(settings.session_id), worker=str(settings.worker_id), epoch=settings.epoch
    ):
        try:
            serve(build_app(settings), uds=str(settings.control_dir / "executor.sock"))
        finally:
            stop_tracing()
    return 0


if __name__ == "__main__":
    sys.exit(main())
