"""Errors of the relay itself, in the form that every service's have."""

from typing import Any

import msgspec
from aiohttp import web

from contracts.errors import RENDERINGS, Code, Problem


def problem(code: Code, detail: str, **details: Any) -> web.Response:  # noqa: ANN401  # any JSON value
    rendering = RENDERINGS[code]
    body = Problem(
        title=rendering.title,
        status=rendering.status,
        code=code,
        detail=detail,
        details=dict(details),
    )
    return web.Response(
        status=rendering.status,
        body=msgspec.json.encode(body),
        content_type="application/problem+json",
    )


def unavailable(what: str, how: str) -> web.Response:
    missing = [{"what": what, "how": how}]
    return problem(Code.DEPENDENCY_UNAVAILABLE, f"{what} is unavailable", missing=missing)
