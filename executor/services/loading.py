"""The agents' half of the executor: loaded with the first command, or some time after readiness.

The Agent Client Protocol's types take most of a second to load. A worker is ready without them, and
its first command waits for them; whatever brings them in before that makes every start slow
(`tests/architecture/test_light_start.py`).
"""

import asyncio

from chassis.failpoints import failpoint_sync
from executor.services.runs.live import Attempts


class LoadingFailed(Exception):
    """The installation is broken: no run can start here."""


async def load_attempts() -> Attempts:
    """Raises `LoadingFailed`."""
    try:
        # not `in_thread`: whoever is cancelled need not wait for an import
        return await asyncio.to_thread(_attempts)
    except Exception as error:
        raise LoadingFailed(repr(error)) from error


def _attempts() -> Attempts:
    failpoint_sync("loading.before_import")
    from executor.services.runs.attempt import Attempt  # noqa: PLC0415  # see above

    return Attempt
