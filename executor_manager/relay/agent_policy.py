"""What an agent's socket lets through: `/<upstream>/<path>?<query>` of an upstream that is named.

As on the control socket a target is matched as the bytes that came in. What two readers could read
differently (dot segments, `//`, encoded slashes, an absolute URI) matches nothing, even below a
prefix that is allowed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import HttpVersion11, web

from contracts.relay import NamedUpstream
from executor_manager.relay.policy import Denied

HEAD_BYTES = 64 * 1024
"""Of all header lines together."""

_TARGET = re.compile(r"/([a-z][a-z0-9-]{0,31})(/[\x21-\x7e]*)")
_DOTS = re.compile(r"(?:\.|%2e){1,2}(?:(?:;|%3b).*)?", re.IGNORECASE)
_TWO_READINGS = re.compile(
    r"//|\\|%(?:2f|5c|[01][0-9a-f]|7f|25(?:2e|2f|5c|00))|%(?![0-9a-f]{2})", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToUpstream:
    upstream: NamedUpstream
    path: str
    """Without the upstream's name and without the query."""
    query: str
    """With its question mark, or empty."""

    @property
    def url(self) -> str:
        return f"{self.upstream.url.rstrip('/')}{self.path}{self.query}"


def decide_agent(
    upstreams: Iterable[NamedUpstream], method: str, target: str
) -> ToUpstream | Denied:
    """For `agent/agent.sock`. `target` is the request line's, unparsed."""
    found = _TARGET.fullmatch(target)
    if found is None or "#" in target:
        return Denied("not_a_path_of_an_upstream")
    upstream = next((some for some in upstreams if some.name == found[1]), None)
    if upstream is None:
        return Denied("unknown_upstream")
    if method not in upstream.methods:
        return Denied("method")
    path, mark, query = found[2].partition("?")
    if any(_DOTS.fullmatch(segment) for segment in path.split("/")):
        return Denied("dot_segment")
    if _TWO_READINGS.search(path):
        return Denied("encoded_slash")
    if not any(_covers(rule, path) for rule in upstream.paths):
        return Denied("path")
    return ToUpstream(upstream=upstream, path=path, query=mark + query)


def head_refused(request: web.BaseRequest) -> Denied | None:
    """What a proxy must not pass on whatever the policy, beyond what the parser refuses."""
    headers = request.headers
    if request.version != HttpVersion11:
        return Denied("http_version")  # an answer that is cut would look like one that ended
    if len(headers.getall("Host", [])) != 1:
        return Denied("host")
    if "Upgrade" in headers or request.method == "CONNECT":
        return Denied("upgrade")
    if headers.getall("Transfer-Encoding", ["chunked"]) != ["chunked"]:
        return Denied("transfer_encoding")
    if sum(len(name) + len(value) for name, value in request.raw_headers) > HEAD_BYTES:
        return Denied("headers_too_large")
    return None


def _covers(rule: str, path: str) -> bool:
    return path.startswith(rule) if rule.endswith("/") else path == rule
