"""What was denied to one worker: a line in the log each, up to so many in a minute, and told to the
control plane.
"""

import asyncio
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from chassis.clock import wall_time
from chassis.logs import get_logger
from contracts.egress import Denial
from contracts.errors import Code
from contracts.relay import RelayPolicy
from executor_manager.relay.policy import Denied
from executor_manager.relay.problems import problem
from executor_manager.relay.telling import Telling

LINES = 100
PER_SECONDS = 60.0
SHOWN = 200
"""Characters of a denied path, as of every other word that an agent chose; a name may have 253."""
HOST_SHOWN = 253
CONTROL = "control"
"""Stands for an upstream where the executor's own socket denied."""

_NAME = re.compile(r"/([a-z][a-z0-9-]{0,31})(?:/|$)")
_ABSOLUTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Words of an agent, whatever they are: nothing of it is shown or told as it came."""

    upstream: str = ""
    method: str
    host: str = ""
    port: int = 0
    path: str = ""
    rule: str


class Denials:
    """Of one worker."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._began = 0.0
        self._lines = 0
        self._untold = 0

    def deny(
        self, policy: RelayPolicy, request: web.BaseRequest, denied: Denied, *, upstream: str = ""
    ) -> web.Response:
        self.note(policy, _refused(request, denied, upstream))
        return closing(problem(Code.FORBIDDEN, "the policy does not allow this", rule=denied.rule))

    def note(self, policy: RelayPolicy, refused: Refused) -> None:
        shown = Denial(
            upstream=refused.upstream,
            method=_shown(refused.method, SHOWN),
            host=_shown(refused.host, HOST_SHOWN),
            port=refused.port,
            path=_shown(refused.path, SHOWN),
            rule=refused.rule,
            at=wall_time(),
        )
        self._telling.add(shown)
        if self._room(policy):
            _log.warning(
                "relay_denied",
                worker=policy.worker_id,
                epoch=policy.epoch,
                method=shown.method,
                target=shown.path or f"{shown.host}:{shown.port}",
                rule=shown.rule,
            )

    def _room(self, policy: RelayPolicy) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._began >= PER_SECONDS:
            if self._untold:
                _log.warning("relay_denied_more", worker=policy.worker_id, count=self._untold)
            self._began, self._lines, self._untold = now, 0, 0
        self._lines += 1
        self._untold += self._lines > LINES
        return self._lines <= LINES


def closing(answer: web.Response) -> web.Response:
    """What follows on the connection may be the body of what was refused."""
    answer.force_close()
    return answer


def _refused(request: web.BaseRequest, denied: Denied, upstream: str) -> Refused:
    # host and path; a query may hold what is nobody's business
    target = request.raw_path.partition("?")[0]
    if _ABSOLUTE.match(target):
        host, port, path = _read_absolute(target)
        return Refused(method=request.method, host=host, port=port, path=path, rule=denied.rule)
    name = _NAME.match(target)
    return Refused(
        upstream=upstream or (name[1] if name else ""),
        method=request.method,
        path=target,
        rule=denied.rule,
    )


def _read_absolute(target: str) -> tuple[str, int, str]:
    """Host, port and path; a user and a password are left out."""
    try:
        parts = urlsplit(target)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", 0, ""
    return parts.hostname or "", port, parts.path


def _shown(text: str, length: int) -> str:
    return "".join(c if "\x20" <= c < "\x7f" else "?" for c in text[:length])
