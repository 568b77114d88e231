"""The portal's built files; a path that is none of them is a page of the app itself."""

import asyncio
import mimetypes
from pathlib import Path

from litestar.datastructures import Headers
from litestar.types import HTTPScope, Send

from chassis.errors import NotFound
from contracts.errors import Code

_POLICY = [
    b"default-src 'self'",
    b"style-src 'self' 'unsafe-inline'",
    b"img-src 'self' data: blob:",
    b"frame-ancestors 'none'",
    b"base-uri 'none'",
    b"form-action 'self'",
]
_GUARDS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"; ".join(_POLICY)),
]


class Portal:
    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    async def __call__(self, scope: HTTPScope, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            raise NotFound(Code.NOT_FOUND, "there is nothing under this path")
        path = await asyncio.to_thread(self._find, scope["path"])
        tag, content = await asyncio.to_thread(_read, path)
        known = Headers.from_scope(scope).get("if-none-match") == tag
        # the build puts a hash into an asset's name: its content never changes
        forever = path.parent.name == "assets"
        headers = [
            (b"content-type", _media_type(path)),
            (b"content-length", b"%d" % (0 if known else len(content))),
            (b"etag", tag.encode()),
            (b"cache-control", b"max-age=31536000, immutable" if forever else b"no-cache"),
            *_GUARDS,
        ]
        status = 304 if known else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
        body = b"" if known or scope["method"] == "HEAD" else content
        await send({"type": "http.response.body", "body": body, "more_body": False})

    def _find(self, path: str) -> Path:
        found = (self._folder / path.lstrip("/")).resolve()
        if found.is_relative_to(self._folder) and found.is_file():
            return found
        index = self._folder / "index.html"
        if "." in path.rpartition("/")[2] or not index.is_file():
            raise NotFound(Code.NOT_FOUND, "there is nothing under this path")
        return index


def _read(path: Path) -> tuple[str, bytes]:
    status = path.stat()
    return f'"{status.st_mtime_ns:x}-{status.st_size:x}"', path.read_bytes()


def _media_type(path: Path) -> bytes:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    text = kind.startswith("text/") or kind in {"application/javascript", "application/json"}
    return f"{kind}; charset=utf-8".encode() if text else kind.encode()
