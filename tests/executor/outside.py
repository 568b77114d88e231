"""What lies outside of an executor, in one process on a Unix socket: relay and control plane.

It keeps the control plane's promises towards a worker (order, duplicates, gaps, grants), signs for
the real object store and forwards to it. Faults are put in by `fail_next` and `down`.
"""

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import msgspec

from chassis.ids import new_id
from chassis.objects import ObjectStore
from contracts.errors import RENDERINGS, Code, Problem
from contracts.relay import RelayStreams
from contracts.snapshots import (
    AskDownloads,
    AskUploads,
    CommitSide,
    RestorePlan,
    RestorePoint,
    SideCommitted,
    Signed,
    SnapshotDraft,
    SnapshotKind,
    Uploads,
)
from contracts.spool import (
    AnyEntry,
    EventReported,
    GrantTaken,
    Refused,
    Report,
    Reported,
    SnapshotCommitted,
    TakeGrant,
)
from contracts.transcripts import AskTranscript, Transcript
from tests.fixtures.serving import serving

EXPIRES = 300
NOTHING_TO_TELL = Transcript(text="", runs=0, left_out=0)


@dataclass
class Outside:
    objects: ObjectStore
    prefix: str
    last_seq: int = 0
    entries: list[AnyEntry] = field(default_factory=list)
    head: UUID | None = None
    drafts: dict[UUID, SnapshotDraft] = field(default_factory=dict)
    points: list[RestorePoint] | None = None
    """None: the head, if there is one."""
    required_paths: list[str] = field(default_factory=list)
    laid: dict[str, Any] = field(default_factory=dict)
    """What else a restore plan says."""
    grants: dict[UUID, GrantTaken] = field(default_factory=dict)
    taken: dict[UUID, TakeGrant] = field(default_factory=dict)
    transcript: Transcript = NOTHING_TO_TELL
    transcripts: list[AskTranscript] = field(default_factory=list)
    """Those that were asked for."""
    sides: list[CommitSide] = field(default_factory=list)
    stale: bool = False
    down: bool = False
    refuse: dict[str, str] = field(default_factory=dict)
    """Entry type → code with which it is acknowledged and dropped."""
    faults: dict[str, list[Any]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    reports: list[Report] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    corrupt: set[str] = field(default_factory=set)
    """Keys whose bytes come back wrong."""

    def fail_next(self, what: str, *faults: Any) -> None:
        """For `callbacks`, `put`, …: a status, a `Problem`, or `lost` (done, unanswered)."""
        self.faults.setdefault(what, []).extend(faults)

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        found = [
            msgspec.json.decode(entry.event)
            for entry in self.entries
            if isinstance(entry, EventReported)
        ]
        return [event for event in found if kind is None or event["kind"] == kind]

    def of(self, kind: type[Any]) -> list[Any]:
        return [entry for entry in self.entries if isinstance(entry, kind)]

    async def until(self, met: Callable[[], Any], *, deadline: float = 30.0) -> Any:
        """What it gives, once a request has made it something."""
        async with asyncio.timeout(deadline):
            while not (found := met()):
                self.changed.clear()
                await self.changed.wait()
        return found

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = await _body(receive)
        path = scope["raw_path"].decode()
        what = _what(scope["method"], path)
        self.calls[what] += 1
        self.changed.set()
        fault = self.faults[what].pop(0) if self.faults.get(what) else None
        if self.down or isinstance(fault, int):
            await _answer(send, fault or 502, b"")
            return
        if isinstance(fault, Problem):
            await _answer(send, fault.status, msgspec.json.encode(fault))
            return
        status, content = await self._handle(what, scope, path, body)
        self.changed.set()
        if fault == "lost":
            status, content = 504, b""
        await _answer(send, status, content)

    async def _handle(self, what: str, scope: Any, path: str, body: bytes) -> tuple[int, bytes]:
        if path.startswith("/objects/"):
            return await self._object(scope, path, body)
        if self.stale and what not in {"uploads", "side-snapshot"}:
            return _problem(Code.STALE_EPOCH)
        answers: dict[str, Any] = {
            "callbacks": self._callbacks,
            "uploads": self._uploads,
            "downloads": self._downloads,
            "restore": self._restore,
            "side-snapshot": self._side,
            "take": self._take,
            "transcript": self._transcript,
            "streams": self._streams,
        }
        found = answers[what](body, path)
        if isinstance(found, tuple):
            return found
        return 200, msgspec.json.encode(found)

    def _callbacks(self, body: bytes, _path: str) -> Any:
        report = msgspec.json.decode(body, type=Report)
        self.reports.append(report)
        new = [entry for entry in report.entries if entry.seq > self.last_seq]
        if new and new[0].seq != self.last_seq + 1:
            return _problem(Code.EXPECTED_SEQ, seq=self.last_seq + 1)
        refused: list[Refused] = []
        for entry in new:
            self.last_seq = entry.seq
            code = self._apply(entry)
            if code:
                refused.append(Refused(seq=entry.seq, code=code))
        return Reported(acknowledged=self.last_seq, refused=refused)

    def _apply(self, entry: AnyEntry) -> str:
        if code := self.refuse.get(str(type(entry).__struct_config__.tag), ""):
            return code
        if isinstance(entry, SnapshotCommitted):
            if entry.snapshot.parent != self.head:
                return Code.HEAD_MOVED
            self.drafts[entry.snapshot.id] = entry.snapshot
            if entry.snapshot.type is SnapshotKind.ACKNOWLEDGED:
                self.head = entry.snapshot.id
        self.entries.append(entry)
        return ""

    def _streams(self, _body: bytes, _path: str) -> RelayStreams:
        """Of a relay through which no agent asks for anything."""
        return RelayStreams(boot="outside", open=0, last=0, cuts=[])

    def _uploads(self, body: bytes, _path: str) -> Uploads:
        asked = msgspec.json.decode(body, type=AskUploads)
        signed: list[Signed] = []
        for ask in asked.objects:
            key = f"{self.prefix}/{ask.purpose}/{new_id()}"
            url = self.objects.presign_put(
                key, length=ask.length, md5_base64=ask.md5, expires=EXPIRES
            )
            signed.append(Signed(key=key, url=url.url, headers=url.headers))
        return Uploads(objects=signed)

    def _downloads(self, body: bytes, _path: str) -> Uploads:
        asked = msgspec.json.decode(body, type=AskDownloads)
        return Uploads(objects=[self.sign(key) for key in asked.keys])

    def sign(self, key: str) -> Signed:
        return Signed(key=key, url=self.objects.presign_get(key, expires=EXPIRES).url)

    def point(self, snapshot_id: UUID) -> RestorePoint:
        draft = self.drafts[snapshot_id]
        return RestorePoint(
            snapshot_id=draft.id,
            type=draft.type,
            manifest=self.sign(draft.manifest_key),
            manifest_sha256=draft.manifest_sha256,
        )

    def _restore(self, _body: bytes, _path: str) -> RestorePlan:
        points = self.points
        if points is None:
            points = [self.point(self.head)] if self.head else []
        return RestorePlan(
            points=points,
            head=self.head,
            required_paths=self.required_paths,
            **self.laid,
        )

    def _side(self, body: bytes, _path: str) -> SideCommitted:
        side = msgspec.json.decode(body, type=CommitSide)
        self.sides.append(side)
        self.drafts[side.snapshot.id] = side.snapshot
        return SideCommitted(snapshot_id=side.snapshot.id)

    def _take(self, body: bytes, path: str) -> Any:
        request_id = UUID(path.split("/")[-2])
        take = msgspec.json.decode(body, type=TakeGrant)
        if self.taken.setdefault(request_id, take) != take:
            return _problem(Code.GRANT_TAKEN)
        return self.grants[request_id]

    def _transcript(self, body: bytes, _path: str) -> Transcript:
        self.transcripts.append(msgspec.json.decode(body, type=AskTranscript))
        return self.transcript

    async def _object(self, scope: Any, path: str, body: bytes) -> tuple[int, bytes]:
        store = urlsplit(self.objects.presign_get("x").url)
        query = scope["query_string"].decode()
        target = path.removeprefix("/objects")
        url = httpx.URL(f"{store.scheme}://{store.netloc}").copy_with(
            raw_path=f"{target}?{query}".encode()
        )
        kept = {"content-length", "content-md5"}
        headers = {k.decode(): v.decode() for k, v in scope["headers"] if k.decode() in kept}
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.request(
                scope["method"], url, headers=headers, content=body or None
            )
        content = answer.content
        if any(target.endswith(key) for key in self.corrupt):
            content = content[:-1] + bytes([content[-1] ^ 1])
        return answer.status_code, content


@contextlib.asynccontextmanager
async def outside_at(control_dir: Path, outside: Outside) -> AsyncGenerator[Outside]:
    async with serving(outside, uds=str(control_dir / "relay.sock")):
        yield outside


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _what(method: str, path: str) -> str:
    if path.startswith("/objects/"):
        return method.lower()
    return path.rpartition("/")[2]


def _problem(code: Code, **details: Any) -> tuple[int, bytes]:
    rendering = RENDERINGS[code]
    problem = Problem(title=rendering.title, status=rendering.status, code=code, details=details)
    return rendering.status, msgspec.json.encode(problem)


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _answer(send: Any, status: int, content: bytes) -> None:
    headers = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
