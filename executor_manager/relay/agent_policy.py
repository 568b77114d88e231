"""What an agent's socket lets through: `/<upstream>/<path>?<query>` of an upstream that is named.

As on the control socket a target is matched as the bytes that came in. What two readers could read
differently (dot segments, `//`, encoded slashes, an absolute URI) matches nothing, even below a
prefix that is allowed.
"""

import re
from collections.abc import Iterable

from aiohttp import HttpVersion11, web

from contracts.relay import NamedUpstream
from executor_manager.relay.index.paths import decide_index
from executor_manager.relay.policy import Denied
from executor_manager.relay.targets import ToUpstream, ambiguous

HEAD_BYTES = 64 * 1024
"""Of all header lines together."""

_TARGET = re.compile(r"/([a-z][a-z0-9-]{0,31})(/[\x21-\x7e]*)")
_ABSOLUTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://.*")


def decide_agent(
    upstreams: Iterable[NamedUpstream], method: str, target: str, host: str
) -> ToUpstream | Denied:
    """For `agent/agent.sock`. `target` is the request line's, unparsed; `host` the header."""
    if _ABSOLUTE.fullmatch(target):
        return Denied("absolute_uri")  # as to a proxy: what is not TLS goes nowhere
    found = _TARGET.fullmatch(target)
    if found is None or "#" in target:
        return Denied("not_a_path_of_an_upstream")
    upstream = next((some for some in upstreams if some.name == found[1]), None)
    if upstream is None:
        return Denied("unknown_upstream")
    path, mark, query = found[2].partition("?")
    if upstream.index:
        return decide_index(upstream, method, path, mark + query, host)
    return _decide(upstream, method, path, mark + query)


def _decide(upstream: NamedUpstream, method: str, path: str, query: str) -> ToUpstream | Denied:
    if method not in upstream.methods:
        return Denied("method")
    if (denied := ambiguous(path)) is not None:
        return denied
    if not any(_covers(rule, path) for rule in upstream.paths):
        return Denied("path")
    return ToUpstream(upstream=upstream, path=path, query=query)


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
