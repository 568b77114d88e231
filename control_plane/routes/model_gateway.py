"""`…/workers/{worker_id}/models/v1/…`: the model gateway, reached through the relay only.

Answers are raw ASGI: each part waits until the part before it was taken, and an answer that was
cut is left without its end, so that the server drops the connection. Errors have the shape of the
wire format that is spoken. A redirect is never followed.
"""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, cast, get_args

import msgspec
from litestar import get, post
from litestar.datastructures import Headers
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.types import HTTPScope, Receive, Scope, Send

from chassis.errors import BerthError
from chassis.problems import known_error
from contracts.errors import Code
from contracts.models import WireFormat
from control_plane.domain import model_requests as ways
from control_plane.domain.access import WorkerCaller
from control_plane.domain.model_errors import body_of, status_of
from control_plane.domain.model_requests import Lines, Way, wanted
from control_plane.routes.errors import told
from control_plane.routes.passing import Answer, departure, unless_left
from control_plane.routes.policies import WORKER
from control_plane.services.model_gateway import Asked, ModelGateway, Offered
from control_plane.services.model_provider import AnswerCut

BODY_BYTES = 32 * 1024 * 1024
BODY_SECONDS = 60.0
"""For one part of it to come."""

JSON = ("content-type", "application/json")

_BASE = "/internal/v1/workers/{worker_id:uuid}/models"
_PASSED_QUERY = b"beta=true"
"""Anthropic's; a query may hold a key."""


class PassOn:
    """An ASGI app: one call, whose body and answer are the provider's affair."""

    def __init__(self, gateway: ModelGateway, worker: WorkerCaller, way: Way) -> None:
        self._gateway = gateway
        self._worker = worker
        self._way = way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = Answer(send)
        await _answered(self._work(scope, receive, answer), answer, self._way.wire_format)

    async def _work(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        passed = _PASSED_QUERY in cast("HTTPScope", scope)["query_string"].split(b"&")
        asked = Asked(
            worker=self._worker,
            way=self._way,
            want=wanted(self._way, await _body(receive)),
            query=f"?{_PASSED_QUERY.decode()}" if passed else "",
            headers=[(name.lower(), value) for name, value in Headers.from_scope(scope).items()],
        )
        await unless_left(departure(receive), self._gateway.pass_on(asked, answer))


class ListModels:
    """An ASGI app: what is allowed, in the shape that all kinds of clients read."""

    def __init__(self, gateway: ModelGateway, worker: WorkerCaller, asked: str | None) -> None:
        self._gateway = gateway
        self._worker = worker
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        answer = Answer(send)
        await _answered(self._work(answer), answer, "chat")

    async def _work(self, answer: Answer) -> None:
        offers = await self._gateway.offered(self._worker, _format(self._asked))
        await _whole(answer, 200, msgspec.json.encode(_listing(offers)))


@post(f"{_BASE}{ways.MESSAGES.path}", opt=WORKER)
async def pass_messages(
    model_gateway: NamedDependency[ModelGateway], worker: NamedDependency[WorkerCaller]
) -> PassOn:
    return PassOn(model_gateway, worker, ways.MESSAGES)


@post(f"{_BASE}{ways.COUNT_TOKENS.path}", opt=WORKER)
async def pass_count_tokens(
    model_gateway: NamedDependency[ModelGateway], worker: NamedDependency[WorkerCaller]
) -> PassOn:
    return PassOn(model_gateway, worker, ways.COUNT_TOKENS)


@post(f"{_BASE}{ways.RESPONSES.path}", opt=WORKER)
async def pass_responses(
    model_gateway: NamedDependency[ModelGateway], worker: NamedDependency[WorkerCaller]
) -> PassOn:
    return PassOn(model_gateway, worker, ways.RESPONSES)


@post(f"{_BASE}{ways.CHAT.path}", opt=WORKER)
async def pass_chat(
    model_gateway: NamedDependency[ModelGateway], worker: NamedDependency[WorkerCaller]
) -> PassOn:
    return PassOn(model_gateway, worker, ways.CHAT)


@post(f"{_BASE}{ways.EMBEDDINGS.path}", opt=WORKER)
async def pass_embeddings(
    model_gateway: NamedDependency[ModelGateway], worker: NamedDependency[WorkerCaller]
) -> PassOn:
    return PassOn(model_gateway, worker, ways.EMBEDDINGS)


@get(f"{_BASE}/v1/models", opt=WORKER)
async def list_models(
    model_gateway: NamedDependency[ModelGateway],
    worker: NamedDependency[WorkerCaller],
    wire_format: Annotated[str | None, QueryParameter(name="format")] = None,
) -> ListModels:
    return ListModels(model_gateway, worker, wire_format)


async def _answered(work: Coroutine[Any, Any, None], answer: Answer, shape: WireFormat) -> None:
    """A cut is told by leaving without an end; everything else in words."""
    try:
        await work
    except AnswerCut:
        return
    except Exception as error:
        if answer.started:
            raise
        known = known_error(told(error))
        await _whole(answer, status_of(known), body_of(known, shape), _retry(known))


async def _whole(answer: Answer, status: int, body: bytes, headers: Lines | None = None) -> None:
    await answer.start(status, [JSON, *(headers or [])])
    await answer.part(body)
    await answer.end()


async def _body(receive: Receive) -> bytes:
    body = bytearray()
    more = True
    while more:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                message = await receive()
        except TimeoutError:
            raise _refused(Code.VALIDATION, "the body stopped in the middle") from None
        if message["type"] == "http.disconnect":
            raise AnswerCut("whoever asked left before the body had ended")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY_BYTES:
            raise _refused(Code.TOO_LARGE, f"a body holds at most {BODY_BYTES} bytes")
    return bytes(body)


def _refused(code: Code, detail: str) -> BerthError:
    return BerthError(code, detail, field="body")


def _retry(error: BerthError) -> Lines:
    return [] if error.retry_after is None else [("retry-after", str(int(error.retry_after) or 1))]


def _format(text: str | None) -> WireFormat | None:
    if text is None:
        return None
    known = get_args(WireFormat)
    if text not in known:
        expected = f"one of {', '.join(known)}"
        raise BerthError(
            Code.VALIDATION, f"format: expected {expected}", field="format", expected=expected
        )
    return cast("WireFormat", text)


def _listing(offers: list[Offered]) -> dict[str, Any]:
    data = [
        {
            "id": offer.model,
            "object": "model",
            "type": "model",
            "display_name": offer.model,
            "owned_by": offer.upstream.name,
            "created": int(offer.upstream.created_at.timestamp()),
            "created_at": offer.upstream.created_at,
        }
        for offer in offers
    ]
    first, last = (offers[0].model, offers[-1].model) if offers else (None, None)
    return {"object": "list", "data": data, "has_more": False, "first_id": first, "last_id": last}


MODEL_GATEWAY_ROUTES = [
    pass_messages,
    pass_count_tokens,
    pass_responses,
    pass_chat,
    pass_embeddings,
    list_models,
]
