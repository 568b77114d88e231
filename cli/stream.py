"""A run's events as they come, taken up again after every cut: each one once, in order."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import httpx
import msgspec

from cli.client import ApiClient, Refused, Unreachable, problem_of, sent
from cli.sse import Frame, frames, lines_of
from contracts.errors import RENDERINGS, Code
from contracts.events import AnyEvent, RawLogEntry
from contracts.runs import CreateRun, Run, SendMessage

SILENCE_SECONDS = 35.0
"""Three missed heartbeats: the connection is dead, whatever TCP says."""

_TRIES = 60
_TRIES_BEFORE_ANSWERED = 4
_LONGEST_DELAY = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One event of the log: as it was sent, and read as far as this version can."""

    line: str
    entry: RawLogEntry
    kind: str
    event: AnyEvent | None
    """None: a kind that this version does not know."""


class RunStream:
    """`run_id` and `session_id` are known after the first answer."""

    def __init__(
        self,
        client: ApiClient,
        *,
        message: CreateRun | SendMessage | None = None,
        session_id: UUID | None = None,
        run_id: UUID | None = None,
        last_id: str = "",
    ) -> None:
        """Either a message that starts the run, or the run itself."""
        self.run_id = run_id
        self.session_id = session_id
        self.last_id = last_id
        self._client = client
        self._body = None if message is None else msgspec.json.encode(message)
        self._path = (
            f"/api/v1/sessions/{session_id}/messages"
            if isinstance(message, SendMessage)
            else "/api/v1/runs"
        )
        self._idempotency_key = f"cli-{uuid.uuid4()}"
        self._failures = 0

    async def events(self) -> AsyncGenerator[Seen]:
        """Until `run.closed`. Raises Refused, Unreachable."""
        while True:
            try:
                async with aclosing(self._connection()) as found:
                    async for seen in found:
                        yield seen
                        if seen.kind == "run.closed":
                            return
            except (httpx.TransportError, TimeoutError) as error:
                if self._give_up():
                    raise Unreachable(self._client.url, error) from error
            except Refused as refusal:
                if not _passing(refusal) or self._give_up():
                    raise
            await asyncio.sleep(min(_LONGEST_DELAY, 0.1 * 2 ** min(self._failures, 8)))

    async def _connection(self) -> AsyncGenerator[Seen]:
        async with self._answer() as response:
            if not response.is_success:
                await response.aread()
                raise Refused(problem_of(response))
            self._learn(response)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                self._learn_run(msgspec.json.decode(await response.aread(), type=Run))
                return
            async with aclosing(frames(lines_of(response.aiter_raw()))) as found:
                async for frame in found:
                    self._failures = 0
                    seen = self._seen(frame)
                    if seen is not None:
                        yield seen

    @asynccontextmanager
    async def _answer(self) -> AsyncGenerator[httpx.Response]:
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        timeout = httpx.Timeout(10.0, read=SILENCE_SECONDS)
        if self.run_id is None:
            headers["Idempotency-Key"] = self._idempotency_key
            request = self._client.http.build_request(
                "POST",
                self._path,
                content=self._body,
                headers={**sent(None, self._body), **headers},
                timeout=timeout,
            )
        else:
            if self.last_id:
                headers["Last-Event-ID"] = self.last_id
            path = f"/api/v1/runs/{self.run_id}/stream"
            request = self._client.http.build_request("GET", path, headers=headers, timeout=timeout)
        response = await self._client.http.send(request, stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    def _learn(self, response: httpx.Response) -> None:
        """The answer to a message says where its run is."""
        last = response.headers.get("location", "").rpartition("/")[2]
        if self.run_id is None and last:
            self.run_id = UUID(last)

    def _learn_run(self, run: Run) -> None:
        self.run_id, self.session_id = run.id, run.session_id

    def _seen(self, frame: Frame) -> Seen | None:
        """None for what is of the connection: heartbeats, `bye`, `resync`."""
        if not (frame.id and frame.data):
            return None
        entry = msgspec.json.decode(frame.data, type=RawLogEntry)
        self.last_id = frame.id
        self.run_id = self.run_id or entry.run_id
        self.session_id = self.session_id or entry.session_id
        try:
            event = msgspec.json.decode(entry.event, type=AnyEvent)
        except msgspec.ValidationError:
            event = None
        return Seen(line=frame.data, entry=entry, kind=frame.event, event=event)

    def _give_up(self) -> bool:
        self._failures += 1
        most = _TRIES_BEFORE_ANSWERED if self.run_id is None else _TRIES
        return self._failures > most


def _passing(refusal: Refused) -> bool:
    code = refusal.problem.code
    if code in set(Code):
        return RENDERINGS[Code(code)].retry
    return refusal.problem.status >= 500
