"""The named upstreams that agents may reach: read once at start, from the operator's file."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from chassis.settings import SettingsError
from contracts.relay import Credential, NamedUpstream

MODELS = "models"
"""The upstream of this name is where agents find their models."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_PATH = re.compile(r"(?:/(?!/)[^\x00-\x20\x7f-\U0010ffff?#\\/%]*)+")
_DOTS = frozenset({".", ".."})
_HEADER = re.compile(r"[A-Za-z0-9-]+")
_FRAMING = frozenset(
    {"connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding"}
    | {"upgrade"}
)


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
    if unknown := set(entry) - set(NamedUpstream.__struct_fields__):
        return f"{_list(unknown)}: no such field, there are {_fields(NamedUpstream)}", None
    credential: object = entry.get("credential")
    inside = cast("dict[str, object]", credential) if isinstance(credential, dict) else {}
    if unknown := set(inside) - _names(Credential):
        return f"credential.{_list(unknown)}: no such field, there are {_fields(Credential)}", None
    try:
        return "", msgspec.convert(entry, NamedUpstream)
    except msgspec.ValidationError as error:
        return str(error).replace("$.", ""), None


def _wrong(upstream: NamedUpstream, former: set[str]) -> str:
    if upstream.name in former:
        return f"name: {upstream.name} is there twice"
    if not _is_base(upstream.url):
        return "url: should be http:// or https://, a host, and nothing after its path"
    if not upstream.methods or not METHODS.issuperset(upstream.methods):
        return f"methods: should be some of {_list(METHODS)}"
    if not upstream.paths or not all(_is_path(path) for path in upstream.paths):
        return "paths: should each begin with /, without a query, //, \\, % or dot segments"
    header = upstream.credential.header if upstream.credential else "authorization"
    if not _HEADER.fullmatch(header) or header.lower() in _FRAMING:
        return "credential.header: should be the name of a header that carries credentials"
    prefix = upstream.credential.prefix if upstream.credential else ""
    if not prefix.isascii() or not prefix.isprintable():
        return "credential.prefix: should be printable ASCII"
    return ""


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False
    rest = "@" in parts.netloc or "?" in url or "#" in url or not url.isascii()
    return whole and not rest and (parts.path in {"", "/"} or _is_path(parts.path))


def _is_path(path: str) -> bool:
    return bool(_PATH.fullmatch(path)) and not _DOTS.intersection(path.split("/"))


def _names(struct: type[msgspec.Struct]) -> set[str]:
    return set(struct.__struct_fields__)


def _fields(struct: type[msgspec.Struct]) -> str:
    return _list(_names(struct))


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
