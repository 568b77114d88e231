"""Where model upstreams may lead: the hosts that the installation's administrator allows."""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

_PORTS = {"https": 443, "http": 80}


class Origin(NamedTuple):
    scheme: str
    host: str
    port: int


class WrongUrl(ValueError):
    """`expected` is what would be right."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


class ModelHosts:
    """`api.example.com` is HTTPS on its usual port, `http://model:8080` that origin exactly."""

    def __init__(self, hosts: Iterable[str]) -> None:
        """Raises ValueError for one that is no host."""
        self._hosts = list(hosts)
        self._origins = {_allowed(host) for host in self._hosts}

    def allows(self, url: str) -> bool:
        try:
            return origin_of(url) in self._origins
        except WrongUrl:
            return False

    def __str__(self) -> str:
        return ", ".join(self._hosts) or "none"


def origin_of(url: str) -> Origin:
    """Raises `WrongUrl`."""
    return _origin(_split(url))


def plain(url: str) -> str:
    """As it is kept: `/v1/…` can be put behind it. Raises `WrongUrl`."""
    parts = _split(url)
    path = parts.path.rstrip("/")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise WrongUrl("a URL without a query and without a fragment")
    if any(segment in {".", ".."} for segment in path.split("/")) or "%" in path or "//" in path:
        raise WrongUrl("a URL whose path has plain segments only")
    if path.endswith("/v1"):
        raise WrongUrl("what comes before `/v1`, which is added")
    origin = _origin(parts)
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    port = "" if origin.port == _PORTS[origin.scheme] else f":{origin.port}"
    return f"{origin.scheme}://{host}{port}{path}"


def _allowed(host: str) -> Origin:
    url = host if "://" in host else f"https://{host}"
    try:
        parts = _split(url)
        origin = _origin(parts)
    except WrongUrl as error:
        raise ValueError(_not_a_host(host)) from error
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(_not_a_host(host))
    return origin


def _not_a_host(host: str) -> str:
    return (
        f"BERTH_MODEL_HOSTS: {host!r} is no host: `api.example.com` for HTTPS, or an origin such as"
        " `http://model:8080`"
    )


def _split(url: str) -> SplitResult:
    if not url.isascii() or any(c.isspace() or c == "\\" or ord(c) < 0x20 for c in url):
        raise WrongUrl("a URL of visible ASCII characters")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise WrongUrl("a URL such as https://api.example.com") from error
    if parts.scheme not in _PORTS or not parts.hostname:
        raise WrongUrl("a URL such as https://api.example.com")
    if "@" in parts.netloc:
        raise WrongUrl("a URL without a user and a password: the key has a field of its own")
    return parts


def _origin(parts: SplitResult) -> Origin:
    port = parts.port or _PORTS[parts.scheme]
    return Origin(parts.scheme, (parts.hostname or "").lower(), port)
