"""What was denied, told in the log: so many lines of one worker in a minute, then their number."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from chassis.logs import get_logger
from contracts.errors import Code
from contracts.relay import RelayPolicy
from executor_manager.relay.policy import Denied
from executor_manager.relay.problems import problem

LINES = 100
PER_SECONDS = 60.0
SHOWN = 200
"""Characters of a denied target."""

_log = get_logger()


@dataclass(slots=True)
class Denials:
    """Of one worker."""

    began: float = 0.0
    lines: int = 0
    untold: int = 0

    def deny(self, policy: RelayPolicy, request: web.BaseRequest, denied: Denied) -> web.Response:
        if self._room(policy):
            # host and path; a query may hold what is nobody's business
            _log.warning(
                "relay_denied",
                worker=policy.worker_id,
                epoch=policy.epoch,
                method=request.method,
                target=request.raw_path.partition("?")[0][:SHOWN],
                rule=denied.rule,
            )
        return closing(problem(Code.FORBIDDEN, "the policy does not allow this", rule=denied.rule))

    def _room(self, policy: RelayPolicy) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self.began >= PER_SECONDS:
            if self.untold:
                _log.warning("relay_denied_more", worker=policy.worker_id, count=self.untold)
            self.began, self.lines, self.untold = now, 0, 0
        self.lines += 1
        self.untold += self.lines > LINES
        return self.lines <= LINES


def closing(answer: web.Response) -> web.Response:
    """What follows on the connection may be the body of what was refused."""
    answer.force_close()
    return answer
