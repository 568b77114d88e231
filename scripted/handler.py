"""The scripted model's paths, and how an answer is sent, spoilt on purpose, and written down."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from scripted import anthropic, chat, embeddings, responses
from scripted.connection import BadBody, Connection
from scripted.ledger import Books, Exchange
from scripted.scenario import Reply, Scenario, Tokens
from scripted.side_call import is_side_call, side_answer
from scripted.wire import Answer, Event, Json, Wire, answer_of, sse

MODELS = ("scripted-1", "scripted-2")
SIDE_STEP = -2
WIRES: dict[str, Wire] = {
    "/messages": anthropic, "/responses": responses, "/chat/completions": chat,
}  # fmt: skip


class Cut(Exception):
    """The connection is to be closed before the answer is whole."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What all connections share."""

    scenario: Scenario
    books: Books
    keys: list[str]
    """Any of them is right; with none there is nothing to check."""


class Handler(Connection):
    def __init__(self, desk: Desk, *base: Any) -> None:  # noqa: ANN401 - the base's
        self._desk = desk
        super().__init__(*base)

    def do_HEAD(self) -> None:  # noqa: N802 - the base's name
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:  # noqa: N802 - the base's name
        if self.path == "/open":
            self.send_whole(200, {"open": self._desk.books.open()}, {})
        else:
            self._written_down(self._get)

    def do_POST(self) -> None:  # noqa: N802 - the base's name
        self._written_down(self._post)

    def _written_down(self, serve: Callable[[Exchange], None]) -> None:
        exchange = self._desk.books.opened(f"req_{uuid4().hex}", self.path.partition("?")[0])
        try:
            serve(exchange)
        except Cut:
            exchange.end("cut on purpose", complete=False)
            self.hang_up()
        except self.left:
            exchange.end("client left", complete=False)
            self.close_connection = True

    def _get(self, exchange: Exchange) -> None:
        if not self._has_key(exchange):
            self._refuse(exchange, responses, 401, "the key is wrong or missing")
        elif exchange.path.endswith("/models"):
            self._answer(exchange, responses, _models())
        else:
            self._refuse(exchange, responses, 404, f"there is no {exchange.path}")

    def _post(self, exchange: Exchange) -> None:
        path = exchange.path
        wire = next((one for end, one in WIRES.items() if path.endswith(end)), None)
        shape = wire or (anthropic if "/messages/" in path else responses)
        exchange.paid = wire is not None or path.endswith("/embeddings")
        try:
            request = self.read_body()
        except BadBody as error:
            return self._refuse(exchange, shape, 400, f"the body is wrong: {error}")
        exchange.describe(model=str(request.get("model", "")))
        if not self._has_key(exchange):
            return self._refuse(exchange, shape, 401, "the key is wrong or missing")
        if wire is not None:
            return self._infer(exchange, wire, request)
        if path.endswith("/count_tokens"):
            counted = len(json.dumps(request)) // 4
            return self._answer(exchange, shape, {"input_tokens": counted})
        if path.endswith("/embeddings"):
            told = embeddings.tokens_of(request)
            return self._answer(exchange, shape, embeddings.whole(request), told=told)
        return self._refuse(exchange, shape, 404, f"there is no {path}")

    def _infer(self, exchange: Exchange, wire: Wire, request: Json) -> None:
        try:
            conversation, tools = wire.conversation_of(request), wire.tools_of(request)
            schema = wire.schema_of(request)
        except (AttributeError, KeyError, TypeError) as error:
            return self._refuse(exchange, wire, 400, f"the body is wrong: {error}")
        side = is_side_call(tools=tools, schema=schema, conversation=conversation)
        reply, step = (
            (side_answer(schema), SIDE_STEP) if side else self._desk.scenario.reply_to(conversation)
        )
        answer_id = f"{wire.PREFIX}{exchange.key.removeprefix('req_')}"
        exchange.answers(answer_id)
        said = [[said.role, said.text] for said in conversation]
        exchange.describe(side=side, step=step, tools=tools, conversation=said)
        self.wait(reply.hang)
        if reply.die_at_once:
            raise Cut
        answer = answer_of(request, reply, answer_id=answer_id, created=int(time.time()))
        if reply.status:
            told = f"scripted {reply.status}"
            return self._refuse(exchange, wire, reply.status, told, reply)
        if request.get("stream"):
            return self._stream(exchange, wire, answer, list(wire.events(request, answer)))
        if reply.fail_after is not None:
            return self._refuse(exchange, wire, 500, "scripted failure")
        half = reply.die_after is not None
        used = Tokens() if half else reply.usage
        return self._answer(exchange, wire, wire.whole(request, answer), told=used, half=half)

    def _stream(self, exchange: Exchange, wire: Wire, answer: Answer, events: list[Event]) -> None:
        reply, pieces = answer.reply, 0
        exchange.status = 200
        self.start_stream({wire.REQUEST_ID: exchange.key})
        for event in events:
            last = event is events[-1]
            if event.piece or last:
                if pieces == reply.die_after:
                    return self._stop(exchange, quiet=reply.quiet)
                if pieces == reply.fail_after:
                    exchange.end("failed on purpose", complete=False)
                    self.send_chunk(sse(wire.failure(answer)))
                    return self.send_chunk(b"")
                pieces += 1
                self.wait(reply.delay)
            if last:
                exchange.told = reply.usage
                exchange.end("complete", complete=True)
            exchange.told = event.told or exchange.told
            self.send_chunk(sse(event))
        if wire.END:
            self.send_chunk(wire.END)
        return self.send_chunk(b"")

    def _stop(self, exchange: Exchange, *, quiet: bool) -> None:
        if not quiet:
            raise Cut
        exchange.end("cut on purpose", complete=False)
        self.send_chunk(b"")

    def _answer(
        self,
        exchange: Exchange,
        shape: Wire,
        body: Json,
        *,
        told: Tokens | None = None,
        half: bool = False,
    ) -> None:
        exchange.status = 200
        exchange.told = told or Tokens()
        if not half:
            self.wait(0)
            exchange.end("complete", complete=True)
        self.send_whole(200, body, {shape.REQUEST_ID: exchange.key}, half=half)
        if half:
            raise Cut

    def _refuse(
        self, exchange: Exchange, shape: Wire, status: int, message: str, reply: Reply | None = None
    ) -> None:
        headers = {shape.REQUEST_ID: exchange.key}
        after = reply.retry_after if reply else None
        if after is not None or status == 429:
            headers["Retry-After"] = f"{1 if after is None else after:g}"
        body = reply.body if reply else None
        exchange.status = status
        exchange.end("refused", complete=False)
        self.send_whole(status, body or shape.error_body(status, message, exchange.key), headers)

    def _has_key(self, exchange: Exchange) -> bool:
        keys = self._desk.keys
        if not keys:
            return True
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        shown = self.headers.get("X-API-Key") or bearer
        if shown not in keys:
            return False
        exchange.describe(key=keys.index(shown))
        return True


def _models() -> Json:
    """In the shape of both providers."""
    listed = [
        {
            "id": name, "type": "model", "object": "model", "display_name": name,
            "created": 1_750_000_000, "created_at": "2025-06-15T15:06:40Z", "owned_by": "scripted",
            "lifecycle": "active",
        }
        for name in MODELS
    ]  # fmt: skip
    ends = {"first_id": MODELS[0], "last_id": MODELS[-1], "has_more": False}
    return {"object": "list", "data": listed, **ends}
