"""The named upstreams that agents may reach: two that are built in, and those of the operator's
file, which is read once at start and may replace them by name.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from chassis.settings import SettingsError
from contracts.relay import Credential, NamedUpstream

MODELS = "models"
TOOLS = "tools"
"""Executors send their agents to the upstreams of these names."""

OURS = "as_worker"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_PATH = re.compile(r"(?:/(?!/)[^\x00-\x20\x7f-\U0010ffff?#\\/%]*)+")
_DOTS = frozenset({".", ".."})
_HEADER = re.compile(r"[A-Za-z0-9-]+")
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding"}
    | {"upgrade"}
)


def upstreams_of(
    worker_id: UUID,
    control_plane_url: str,
    operators: Sequence[NamedUpstream],
    further: Sequence[NamedUpstream] = (),
) -> list[NamedUpstream]:
    """All that one worker's agent may reach. `further`: what its policy grants."""
    gateway = worker_url(control_plane_url, worker_id)
    built_in = [
        NamedUpstream(
            name=MODELS,
            url=f"{gateway}/models",
            methods=["GET", "POST"],
            paths=["/v1/"],
            as_worker=True,
        ),
        NamedUpstream(
            name=TOOLS,
            url=f"{gateway}/tools",
            # a client of the protocol also asks for a stream, and to end a session: it is to hear
            # from the server that there is none
            methods=["DELETE", "GET", "POST"],
            paths=["/mcp"],
            as_worker=True,
        ),
        *further,
    ]
    replaced = {upstream.name for upstream in operators}
    return [*(some for some in built_in if some.name not in replaced), *operators]


def worker_url(control_plane_url: str, worker_id: UUID) -> str:
    """What the relay may be told to add the worker's token for."""
    return f"{control_plane_url.rstrip('/')}/internal/v1/workers/{worker_id}"


def load_upstreams(path: Path | None) -> list[NamedUpstream]:
    """Raises `SettingsError` that names the file, the upstream's place in it, and the field."""
    if path is None:
        return []
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any]])
    except OSError as error:
        raise SettingsError(f"BERTH_AGENT_UPSTREAMS_FILE: {error.strerror}: {path}") from error
    except msgspec.MsgspecError as error:
        raise SettingsError(f"{path} should be a JSON list of upstreams ({error})") from error
    upstreams: list[NamedUpstream] = []
    for index, entry in enumerate(entries):
        wrong, upstream = _read(entry)
        if upstream is not None:
            wrong = _wrong(upstream, {some.name for some in upstreams})
            upstreams.append(upstream)
        if wrong:
            raise SettingsError(f"{path}: upstream {index}: {wrong}")
    return upstreams


def _read(entry: dict[str, Any]) -> tuple[str, NamedUpstream | None]:
    """What is wrong with its shape, or the upstream."""
    if OURS in entry:
        return f"{OURS}: leave it out; it would send workers' own tokens to the url", None
    known = _names(NamedUpstream) - {OURS}
    if unknown := set(entry) - known:
        return f"{_list(unknown)}: no such field, there are {_list(known)}", None
    credential: object = entry.get("credential")
    inside = cast("dict[str, object]", credential) if isinstance(credential, dict) else {}
    if unknown := set(inside) - _names(Credential):
        known = _names(Credential)
        return f"credential.{_list(unknown)}: no such field, there are {_list(known)}", None
    try:
        return "", msgspec.convert(entry, NamedUpstream)
    except msgspec.ValidationError as error:
        return str(error).replace("$.", ""), None


def _wrong(upstream: NamedUpstream, former: set[str]) -> str:
    if upstream.name in former:
        return f"name: {upstream.name} is there twice"
    if not is_base(upstream.url):
        return "url: should be http:// or https://, a host, and nothing after its path"
    if not all(is_origin(host) for host in upstream.file_hosts):
        return "file_hosts: should each be http:// or https://, and a host"
    return _wrong_rules(upstream) or _wrong_credential(upstream.credential)


def _wrong_rules(upstream: NamedUpstream) -> str:
    if not upstream.methods or not METHODS.issuperset(upstream.methods):
        return f"methods: should be some of {_list(METHODS)}"
    if not upstream.paths or not all(_is_path(path) for path in upstream.paths):
        return "paths: should each begin with /, without a query, //, \\, % or dot segments"
    return ""


def _wrong_credential(credential: Credential | None) -> str:
    if credential is None:
        return ""
    if not _HEADER.fullmatch(credential.header) or credential.header.lower() in _FRAMING:
        return "credential.header: should be the name of a header that carries credentials"
    if not credential.prefix.isascii() or not credential.prefix.isprintable():
        return "credential.prefix: should be printable ASCII"
    return ""


def is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False
    rest = "@" in parts.netloc or "?" in url or "#" in url or not url.isascii()
    return whole and not rest and (parts.path in {"", "/"} or _is_path(parts.path))


def is_origin(url: str) -> bool:
    return is_base(url) and urlsplit(url).path in {"", "/"}


def _is_path(path: str) -> bool:
    return bool(_PATH.fullmatch(path)) and not _DOTS.intersection(path.split("/"))


def _names(struct: type[msgspec.Struct]) -> set[str]:
    return set(struct.__struct_fields__)


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
