"""A request of git's smart HTTP protocol: its parse, what the policy says of it, which of its
headers pass. Pure.

A target is matched as the bytes that came in, never decoded: dot segments, encodings, doubled
slashes and other queries match nothing. One parse decides, and is what the host is asked for.
"""

import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from contracts.egress import EgressPolicy, GitRepository

Lines = list[tuple[str, str]]
Service = Literal["git-upload-pack", "git-receive-pack"]

LONGEST_PATH = 260
SHORTEST_SECRET = 8

_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_TARGET = re.compile(
    rf"/(?P<host>[a-z0-9.-]{{1,253}})/(?P<path>{_SEGMENT}(?:/{_SEGMENT})*)"
    r"/(?P<end>info/refs|git-upload-pack|git-receive-pack)"
)
_QUERIES: dict[bytes, Service] = {
    b"service=git-upload-pack": "git-upload-pack",
    b"service=git-receive-pack": "git-receive-pack",
}
_ENDS: dict[str, Service] = {
    "git-upload-pack": "git-upload-pack",
    "git-receive-pack": "git-receive-pack",
}
_PACKINGS = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})
_VERSION = re.compile(r"[A-Za-z0-9=:._-]{1,100}")
_LENGTH = re.compile(r"[0-9]{1,18}")

_TO_HOST = frozenset({"accept", "accept-encoding", "accept-language", "user-agent"})
"""Whatever else came, credentials and cookies first of all, stays here."""
_TO_CALLER = frozenset(
    {"content-type", "content-encoding", "content-length", "cache-control", "expires", "pragma"}
)


class Refused(Exception):
    """`rule` is a stable word, `words` are for whoever reads what git prints."""

    def __init__(self, rule: str, words: str) -> None:
        super().__init__(f"{rule}: {words}")
        self.rule = rule
        self.words = words


class GitAsk(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    path: str
    """As it came: with or without `.git`, as the host names it."""
    service: Service
    advertised: bool
    """`info/refs`, with which each exchange begins."""

    @property
    def repository(self) -> str:
        """As policies name it."""
        return self.path.removesuffix(".git")

    @property
    def pushes(self) -> bool:
        return self.service == "git-receive-pack"

    @property
    def method(self) -> str:
        return "GET" if self.advertised else "POST"

    @property
    def target(self) -> str:
        """Of the host."""
        end = f"info/refs?service={self.service}" if self.advertised else self.service
        return f"/{self.path}/{end}"

    @property
    def media_type(self) -> str:
        """Of its answer; another one is not git's smart protocol."""
        return f"application/x-{self.service}-{'advertisement' if self.advertised else 'result'}"


def parsed(method: str, target: str, query: bytes) -> GitAsk:
    """`target` is what came after `/git`, undecoded. Raises `Refused`."""
    found = _TARGET.fullmatch(target)
    if found is None or len(found["path"]) > LONGEST_PATH:
        raise Refused("path", "no path of git's smart protocol")
    end = found["end"]
    service = _ENDS.get(end)
    advertised = service is None
    if service is None:
        service = _QUERIES.get(query)
    elif query:
        service = None
    if service is None:
        raise Refused("query", "only git's smart protocol passes: `info/refs` with its service")
    if method != ("GET" if advertised else "POST"):
        raise Refused("method", f"{method} is no method of `{end}`")
    return GitAsk(host=found["host"], path=found["path"], service=service, advertised=advertised)


def require_allowed(ask: GitAsk, policy: EgressPolicy, *, has_credential: bool) -> None:
    """Raises `Refused`."""
    of_host = [one for one in policy.repositories if one.host == ask.host]
    if not of_host:
        raise Refused("host", f"the policy names no repository of {ask.host}")
    granted = [one for one in of_host if _covers(one, ask.repository)]
    if not granted:
        raise Refused("repository", f"the policy does not name {ask.repository} of {ask.host}")
    if not ask.pushes:
        return
    if not any(one.push for one in granted):
        raise Refused("push", f"the policy does not allow to push to {ask.repository}")
    if not has_credential:
        words = f"to push, the project needs a credential: an owner runs `berth git set {ask.host}`"
        raise Refused("push_credential", words)


def to_host(ask: GitAsk, headers: Iterable[tuple[str, str]]) -> Lines:
    """Names are in lower case. How the body is framed goes along. Raises `Refused`."""
    given = dict(headers)
    lines = [(name, value) for name, value in given.items() if name in _TO_HOST]
    if _VERSION.fullmatch(version := given.get("git-protocol", "")):
        lines.append(("git-protocol", version))
    if ask.advertised:
        return lines
    wanted = f"application/x-{ask.service}-request"
    if given.get("content-type", "") != wanted:
        raise Refused("content_type", f"the body of `{ask.service}` is {wanted}")
    if (packing := given.get("content-encoding", "").lower()) not in _PACKINGS:
        raise Refused("content_encoding", "a body is plain, or packed with gzip or deflate")
    lines.append(("content-type", wanted))
    if packing:
        lines.append(("content-encoding", packing))
    return [*lines, _framed(given)]


def to_caller(headers: Iterable[tuple[str, str]], secrets: Iterable[str]) -> Lines:
    """Without a line that holds one of the secrets."""
    hidden = [secret for secret in secrets if len(secret) >= SHORTEST_SECRET]
    return [
        (name, value)
        for name, value in ((name.lower(), value) for name, value in headers)
        if name in _TO_CALLER and not any(secret in value for secret in hidden)
    ]


def _covers(granted: GitRepository, repository: str) -> bool:
    if granted.path.endswith("/*"):
        below = granted.path.removesuffix("*")
        return repository.startswith(below) and repository != below
    return repository == granted.path


def _framed(given: dict[str, str]) -> tuple[str, str]:
    length = given.get("content-length", "")
    if _LENGTH.fullmatch(length):
        return ("content-length", length)
    return ("transfer-encoding", "chunked")
