"""What is asked of a workspace's files, read once: paths as bytes, and all of it again as the query
that goes on, where nothing can be read in two ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

import msgspec

from chassis.files.names import bytes_of, checked, wrong
from chassis.rendering import refused_body
from contracts.workspace_files import PATH_BYTES, MakeDirectory, RenamePath

Call = tuple[str, str]
"""Method and operation."""

OTHERS: Mapping[Call, tuple[str, ...]] = {
    ("GET", "tree"): ("depth", "limit", "cursor"),
    ("GET", "search"): ("name", "text", "ignore_case", "limit", "cursor"),
    ("DELETE", "file"): ("recursive",),
}
"""Parameters besides the path, which are the worker's to check."""

OF_DIRECTORIES = frozenset(
    {("GET", "tree"), ("GET", "download"), ("GET", "search"), ("POST", "upload")}
)
"""The path may be empty: the workspace itself."""

_FLAGS = {"": False, "0": False, "false": False, "1": True, "true": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFiles:
    paths: tuple[bytes, ...]
    """The one, or what is renamed and its new path."""
    query: str
    """For the manager."""
    elsewhere: bytes
    """The query for the control plane, where no worker runs."""
    inline: bool = False
    beneath: bool = False
    """What is in a directory is opened with it."""

    @property
    def path(self) -> bytes:
        return self.paths[0]


def asked_in_query(call: Call, query: bytes) -> AskedFiles:
    """Raises `validation_failed`."""
    found = _parameters(query)
    text = found.get("path", b"")
    path = unquote_to_bytes(text) if _flag(found, "escaped") else text
    if not path and call not in OF_DIRECTORIES:
        raise wrong("path", "a path that is not empty, once: relative to the workspace")
    checked(path, most=PATH_BYTES)
    others = [
        f"{name}={quote_from_bytes(found[name], safe='')}"
        for name in OTHERS.get(call, ())
        if found.get(name)
    ]
    escaped = quote_from_bytes(path)
    inline = _flag(found, "inline")
    elsewhere = [f"path={quote(escaped, safe='')}", "escaped=1", f"inline={int(inline)}", *others]
    return AskedFiles(
        paths=(path,),
        query="&".join([f"path={escaped}", *others]),
        elsewhere="&".join(elsewhere).encode(),
        inline=inline,
        beneath=call == ("GET", "download") or bool(found.get("text")),
    )


def asked_in_body(call: Call, body: bytes) -> AskedFiles:
    """Of `rename` and `mkdir`. Raises `validation_failed`."""
    try:
        if call == ("POST", "rename"):
            return _renamed(msgspec.json.decode(body, type=RenamePath))
        return _made(msgspec.json.decode(body, type=MakeDirectory))
    except msgspec.MsgspecError as error:
        raise refused_body(error) from error


def beneath(directory: bytes, name: str) -> AskedFiles:
    """A file of an upload. Raises `validation_failed`."""
    inner = name.replace("\\", "/").encode(errors="surrogateescape")
    path = directory + b"/" + inner if directory else inner
    if not inner:
        raise wrong("filename", "a name")
    checked(path, most=PATH_BYTES, field="filename")
    return AskedFiles(paths=(path,), query=f"path={quote_from_bytes(path)}", elsewhere=b"")


def _renamed(asked: RenamePath) -> AskedFiles:
    source = _path(asked.from_, "from", escaped=asked.escaped)
    target = _path(asked.to, "to", escaped=asked.escaped)
    parts = [f"from={quote_from_bytes(source)}", f"to={quote_from_bytes(target)}"]
    query = "&".join([*parts, f"overwrite={int(asked.overwrite)}"])
    return AskedFiles(paths=(source, target), query=query, elsewhere=b"")


def _made(asked: MakeDirectory) -> AskedFiles:
    path = _path(asked.path, "path", escaped=asked.escaped)
    query = f"path={quote_from_bytes(path)}&parents={int(asked.parents)}"
    return AskedFiles(paths=(path,), query=query, elsewhere=b"")


def _path(text: str, field: str, *, escaped: bool) -> bytes:
    return checked(bytes_of(text, escaped=escaped, field=field), most=PATH_BYTES, field=field)


def _parameters(query: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in query.split(b"&") if query else []:
        name, _, value = part.partition(b"=")
        known = unquote_to_bytes(name).decode(errors="replace")
        if known in found:
            raise wrong(known, "one value, once in the query")
        found[known] = unquote_to_bytes(value.replace(b"+", b" "))
    return found


def _flag(found: Mapping[str, bytes], name: str) -> bool:
    flag = _FLAGS.get(found.get(name, b"").decode(errors="replace").lower())
    if flag is None:
        raise wrong(name, "1 or 0")
    return flag
