"""What there is of an index: pages, files of its own, and files of its declared hosts.

The grammar is the index's, not the policy's: whatever `paths` an upstream has, nothing else of the
same host can be reached under its name.
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from contracts.relay import Credential, NamedUpstream
from executor_manager.relay.policy import Denied
from executor_manager.relay.targets import ToUpstream, ambiguous

METHODS = frozenset({"GET", "HEAD"})
FILES = "/-/files/"
"""Below it: a file host's number, and a path there."""

_PROJECT = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_PART = r"[A-Za-z0-9][A-Za-z0-9._~-]*"
_PAGE = {
    "pypi": re.compile(rf"/simple/{_PROJECT}/?"),
    # a scope's slash comes encoded or not; after the name, a version or a tag
    "npm": re.compile(rf"/(?:@{_PART}(?:/|%2[fF]))?{_PART}(?:/[A-Za-z0-9][A-Za-z0-9.+_~-]*)?"),
}
_FILE = {
    "pypi": re.compile(r".+\.(?:whl|zip|egg|tgz|tar\.(?:gz|bz2|xz))(?:\.metadata|\.asc)?"),
    "npm": re.compile(r".+\.(?:tgz|tar\.gz)"),
}
_OF_HOST = re.compile(rf"{FILES}([0-9]{{1,2}})(/.+)")
_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToIndex(ToUpstream):
    kind: Literal["page", "file"]
    here: str
    """The host and port by which the agent reached us; for npm's links, so only loopback's."""
    target: str
    """Where it really is, as a URL; a redirect may lead on from it."""

    @property
    def url(self) -> str:
        return self.target

    @property
    def credential(self) -> Credential | None:
        """A file host is somebody else."""
        same = origin(self.target) == origin(self.upstream.url)
        return self.upstream.credential if same else None


def decide_index(
    upstream: NamedUpstream, method: str, path: str, query: str, host: str
) -> ToIndex | Denied:
    """`path` without the upstream's name; `host` is the request's header."""
    if method not in METHODS:
        return Denied("method")
    if upstream.index == "npm" and not _LOOPBACK.fullmatch(host):
        return Denied("host")
    if upstream.index and is_page(upstream, path):
        if query:
            return Denied("query")
        target = upstream.url.rstrip("/") + path
        return ToIndex(
            upstream=upstream, path=path, query="", kind="page", here=host, target=target
        )
    if (denied := ambiguous(path)) is not None:
        return denied
    base = _file_base(upstream, path)
    if base is None:
        return Denied("path")
    return ToIndex(
        upstream=upstream, path=path, query=query, kind="file", here=host, target=base + query
    )


def is_page(upstream: NamedUpstream, path: str) -> bool:
    return bool(upstream.index) and bool(_PAGE[upstream.index].fullmatch(path))


def is_own_file(upstream: NamedUpstream, path: str) -> bool:
    return bool(upstream.index) and bool(_FILE[upstream.index].fullmatch(path))


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises `ValueError`."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname or "", port


def _file_base(upstream: NamedUpstream, path: str) -> str | None:
    if not path.startswith(FILES):
        return upstream.url.rstrip("/") + path if is_own_file(upstream, path) else None
    found = _OF_HOST.fullmatch(path)
    if found is None:
        return None
    number = int(found[1])
    if number >= len(upstream.file_hosts):
        return None
    return upstream.file_hosts[number].rstrip("/") + found[2]
