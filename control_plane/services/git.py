"""Git over HTTPS: a worker's request to a host, for a repository that its policy names, with the
project's credential.

It passes on what is git's smart protocol and nothing else. What is refused becomes an event of the
session's log; a push is audited before a byte of it leaves. No transaction and no connection of the
database is held while a host answers.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from chassis.errors import BerthError, DependencyUnavailable, Stale
from chassis.logs import get_logger
from contracts.errors import Code
from control_plane.domain.access import WorkerCaller
from control_plane.domain.git_pushes import PushHead
from control_plane.domain.git_requests import (
    GitAsk,
    Refused,
    parsed,
    require_allowed,
    to_caller,
    to_host,
)
from control_plane.services.git_credentials import GitCredentials, OpenCredential
from control_plane.services.git_denials import GitDenials
from control_plane.services.git_remote import GitRemote, Question
from control_plane.services.model_passing import Sink
from control_plane.services.model_provider import AnswerCut, ProviderAnswer
from control_plane.services.under_way import UnderWay
from control_plane.store import audit
from control_plane.store import egress as egress_store
from control_plane.store.database import Database

PATH_TOLD = 300

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    seconds: float
    """For a whole exchange."""
    request_bytes: int
    answer_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    worker: WorkerCaller
    method: str
    target: str
    """What came after `/git`, undecoded, without its query."""
    query: bytes
    headers: Iterable[tuple[str, str]]
    """Names in lower case."""
    body: AsyncIterator[bytes]


class Git:
    def __init__(
        self,
        database: Database,
        *,
        credentials: GitCredentials,
        remote: GitRemote,
        denials: GitDenials,
        bounds: Bounds,
    ) -> None:
        self._database = database
        self._credentials = credentials
        self._remote = remote
        self._denials = denials
        self._bounds = bounds
        self._under_way = UnderWay()

    async def stop(self) -> None:
        """What is under way is cut."""
        await self._under_way.cut()
        await self._denials.stop()
        await self._remote.aclose()

    async def pass_on(self, asked: Asked, sink: Sink) -> None:
        """Raises BerthError while nothing was sent to the sink, `AnswerCut` afterwards."""
        if asked.worker.released:
            raise Stale(Code.STALE_EPOCH, "this worker was released", epoch=asked.worker.epoch)
        with self._under_way.noted():
            try:
                ask = parsed(asked.method, asked.target, asked.query)
            except Refused as refused:
                self._deny(asked, refused, None)
            try:
                await self._exchange(asked, ask, sink)
            except Refused as refused:
                self._deny(asked, refused, ask)

    def _deny(self, asked: Asked, refused: Refused, ask: GitAsk | None) -> NoReturn:
        self._denials.note(
            asked.worker,
            method=asked.method,
            host=ask.host if ask else "",
            port=self._remote.place(ask.host).origin.port if ask else 0,
            path=(f"/{ask.path}" if ask else asked.target)[:PATH_TOLD],
            rule=refused.rule,
        )
        raise BerthError(Code.FORBIDDEN, refused.words, rule=refused.rule) from None

    async def _exchange(self, asked: Asked, ask: GitAsk, sink: Sink) -> None:
        credential = await self._allowed(asked.worker, ask)
        headers = to_host(ask, asked.headers)
        if credential is not None:
            headers.append(("authorization", credential.authorization))
        passing = _Passing(ask, sink, credential, most=self._bounds.answer_bytes)
        try:
            async with asyncio.timeout(self._bounds.seconds):
                body = None if ask.advertised else await self._body(asked, ask)
                question = Question(ask=ask, headers=headers, body=body)
                async with self._remote.asked(question) as answer:
                    await passing.run(answer)
        except TimeoutError:
            detail = f"the exchange took longer than {self._bounds.seconds:g} s"
            raise passing.cut(detail) from None
        except AnswerCut as cut:
            _log.warning("git_answer_cut", host=ask.host, why=str(cut))
            raise passing.cut("the answer was cut") from None

    async def _allowed(self, worker: WorkerCaller, ask: GitAsk) -> OpenCredential | None:
        """By the policy that is in force now. Raises `Refused`."""
        async with self._database.reading() as connection:
            policy = await egress_store.of_worker(connection, worker.id)
        stored = await self._credentials.find(worker.project_id, ask.host)
        require_allowed(ask, policy, has_credential=stored is not None)
        return None if stored is None else self._credentials.opened(stored)

    async def _body(self, asked: Asked, ask: GitAsk) -> AsyncGenerator[bytes]:
        bounded = _bounded(asked.body, self._bounds.request_bytes)
        if not ask.pushes:
            return bounded
        packing = dict(asked.headers).get("content-encoding", "").lower()
        head, kept = PushHead(packing), list[bytes]()
        while not head.read:
            part = await anext(bounded, b"")
            kept.append(part)
            head.feed(part)
            if not part:
                head.end()
        if not head.asks_only:
            await self._audit(asked.worker, ask, head)
        return _joined(kept, bounded)

    async def _audit(self, worker: WorkerCaller, ask: GitAsk, head: PushHead) -> None:
        async with self._database.unit() as unit:
            await audit.record(
                unit,
                worker.project_id,
                actor=None,
                action="git.push",
                target=f"{ask.host}/{ask.repository}",
                detail={
                    "session_id": str(worker.session_id),
                    "worker": str(worker.id),
                    "refs": msgspec.to_builtins(head.refs),
                    "all_refs": head.whole,
                },
            )


class _Passing:
    """One answer on its way to whoever asked."""

    def __init__(
        self, ask: GitAsk, sink: Sink, credential: OpenCredential | None, *, most: int
    ) -> None:
        self._ask = ask
        self._sink = sink
        self._secrets = () if credential is None else credential.secrets
        self._most = most
        self._begun = False

    def cut(self, detail: str) -> Exception:
        """What to raise for an answer that will not come whole."""
        return AnswerCut(detail) if self._begun else BerthError(Code.UPSTREAM_TIMEOUT, detail)

    async def run(self, answer: ProviderAnswer) -> None:
        """Raises `Refused`, BerthError, `AnswerCut`."""
        if answer.status != 200:
            raise _refusal(self._ask, answer.status)
        if answer.content_type != self._ask.media_type:
            words = f"{self._ask.host} does not speak git's smart protocol for {self._ask.path}"
            raise Refused("dumb_protocol", words)
        self._begun = True
        await self._sink.start(200, to_caller(answer.headers, self._secrets))
        size = 0
        async with aclosing(answer.parts()) as parts:
            async for part in parts:
                size += len(part)
                if size > self._most:
                    raise AnswerCut(f"it has more than {self._most} bytes")
                await self._sink.part(part)
        await self._sink.end()


def _refusal(ask: GitAsk, status: int) -> Exception:
    """Its body stays here: it may be anything, and repeat what was sent."""
    host, path = ask.host, ask.path
    if 300 <= status < 400:
        return Refused("redirect", f"{host} leads elsewhere: name {path} as it does, often by .git")
    if status in {401, 403}:
        words = f"{host} refuses {path}: see the project's credential (`berth git set {host}`)"
        return BerthError(Code.FORBIDDEN, words)
    if status in {404, 410}:
        return BerthError(Code.NOT_FOUND, f"{host} shows no repository {path}")
    if status == 413:
        return BerthError(Code.TOO_LARGE, f"{host} takes no request as large as this")
    if status == 429:
        return BerthError(Code.RATE_LIMITED, f"{host} was asked too often", retry_after=30)
    how = f"it answered {status}: try again"
    return DependencyUnavailable(f"the git host {host}", how)


async def _bounded(parts: AsyncIterator[bytes], most: int) -> AsyncGenerator[bytes]:
    size = 0
    async for part in parts:
        size += len(part)
        if size > most:
            raise BerthError(Code.TOO_LARGE, f"a request of git's holds at most {most} bytes")
        yield part


async def _joined(kept: list[bytes], rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    for part in kept:
        if part:
            yield part
    async for part in rest:
        yield part
