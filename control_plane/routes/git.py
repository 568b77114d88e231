"""`…/workers/{worker_id}/git/{host}/{path}/…`: git's smart protocol, by the relay only.

Answers are raw ASGI. Errors are plain text: git shows that to whoever ran it, and nothing else.
"""

from collections.abc import Coroutine
from typing import Any, cast

from litestar import route
from litestar.datastructures import Headers
from litestar.di import NamedDependency
from litestar.types import HTTPScope, Receive, Scope, Send

from chassis.errors import BerthError, DependencyUnavailable
from chassis.problems import known_error
from chassis.rendering import headers_of
from contracts.errors import RENDERINGS
from control_plane.domain.access import WorkerCaller
from control_plane.routes.errors import told
from control_plane.routes.passing import (
    Answer,
    CallerLeft,
    RequestBody,
    departure,
    unless_left,
)
from control_plane.routes.policies import WORKER
from control_plane.services.git import Asked, Git
from control_plane.services.model_provider import AnswerCut

BODY_SECONDS = 120.0
"""For one part of a body to come, as the relay has it."""

TEXT = ("content-type", "text/plain; charset=utf-8")

_BASE = "/internal/v1/workers/{worker_id:uuid}/git"


class PassGit:
    """An ASGI app: one request, whose body and answer are the host's affair."""

    def __init__(self, git: Git, worker: WorkerCaller) -> None:
        self._git = git
        self._worker = worker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = Answer(send)
        await _answered(self._work(cast("HTTPScope", scope), receive, answer), answer)

    async def _work(self, scope: HTTPScope, receive: Receive, answer: Answer) -> None:
        body = RequestBody(receive, silence=BODY_SECONDS)
        asked = Asked(
            worker=self._worker,
            method=scope["method"],
            target=_target(scope),
            query=scope["query_string"],
            headers=[(name.lower(), value) for name, value in Headers.from_scope(scope).items()],
            body=body.parts(),
        )
        gone = body.departure() if scope["method"] == "POST" else departure(receive)
        await unless_left(gone, self._git.pass_on(asked, answer))


@route(f"{_BASE}/{{target:path}}", http_method=["GET", "POST"], opt=WORKER)
async def pass_git(git: NamedDependency[Git], worker: NamedDependency[WorkerCaller]) -> PassGit:
    return PassGit(git, worker)


def _target(scope: HTTPScope) -> str:
    """As it came in: what was decoded on the way could be read in two ways."""
    raw = scope["raw_path"].decode("latin-1")
    return f"/{raw.partition('/git/')[2]}"


async def _answered(work: Coroutine[Any, Any, None], answer: Answer) -> None:
    """A cut is told by leaving without an end; everything else in words."""
    try:
        await work
    except (AnswerCut, CallerLeft):
        return
    except Exception as error:
        if answer.started:
            raise
        known = known_error(told(error))
        # a 401 would be the worker's token's, and have git ask for a password
        status = RENDERINGS[known.code].status
        await answer.start(status, [TEXT, *headers_of(known).items()])
        await answer.part(_words(known).encode())
        await answer.end()


def _words(error: BerthError) -> str:
    if isinstance(error, DependencyUnavailable):
        missing = error.details["missing"][0]
        return f"{missing['what']}: {missing['how']}\n"
    return f"{error.detail}\n"


GIT_ROUTES = [pass_git]
