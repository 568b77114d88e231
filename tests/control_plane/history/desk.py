"""A session with a past: each turn says something, and leaves a tree in the object store."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import msgspec
from blake3 import blake3

from contracts.snapshots import SnapshotKind
from contracts.spool import SnapshotCommitted
from contracts.transcripts import AskTranscript, Transcript
from control_plane.domain.access import WorkerCaller
from control_plane.services.transcripts import Transcripts
from snapshots.content import laid
from snapshots.manifest import ManifestWriter
from snapshots.model import Item, Kind, Pack, Part
from snapshots.paths import order
from tests.fixtures.berth import Berth
from tests.fixtures.office import Host, Office
from tests.fixtures.saved import Saver

Files = Mapping[bytes, bytes]


@dataclass(frozen=True)
class Turn:
    berth: Berth
    run_id: UUID
    snapshot_id: UUID


@dataclass
class Desk:
    """`office` speaks for workers, `http` for a person."""

    office: Office
    saver: Saver
    host: Host
    project: UUID
    http: httpx.AsyncClient
    saved: dict[UUID, Files] = field(default_factory=dict[UUID, Files])

    async def session(self) -> UUID:
        return await self.office.session(self.project)

    async def begin(self, session: UUID, text: str) -> Berth:
        await self.office.send(session, text)
        berth = await self.office.claim(self.host)
        await self.office.report(berth, berth.started())
        return berth

    async def say(self, berth: Berth, said: str) -> None:
        event = berth.event(kind="message.stop", message_id="m", text=said)
        await self.office.report(berth, event)

    async def save(
        self, berth: Berth, files: Files, kind: SnapshotKind = SnapshotKind.ACKNOWLEDGED
    ) -> SnapshotCommitted:
        """Not reported yet."""
        entry = berth.snapshot(kind)
        key, digest, packs = await self.stored(berth.grant.session_id, items_of(files))
        draft = msgspec.structs.replace(
            entry.snapshot,
            manifest_key=key,
            manifest_sha256=digest,
            packs=packs,
            files=len(files),
            bytes=sum(map(len, files.values())),
            added=3,
            changed=2,
            removed=1,
        )
        self.saved[draft.id] = files
        return msgspec.structs.replace(entry, snapshot=draft)

    async def stored(
        self, session: UUID, items: Sequence[tuple[Item, bytes]]
    ) -> tuple[str, str, list[str]]:
        """Of a manifest: its key and hash, and its packs' keys. Two files share a frame, and one of
        another snapshot lies in the pack as well.
        """
        frames, placed = [laid(b"what nobody needs any more")], list[Item]()
        offset, full = len(frames[0]), [one for one in items if one[1]]
        for start in range(0, len(full), 2):
            both = full[start : start + 2]
            frame = laid(b"".join(content for _, content in both))
            place = 0
            for item, content in both:
                part = Part(len(content), blake3(content).digest(), 0, offset, len(frame), place)
                placed.append(msgspec.structs.replace(item, parts=(part,), size=len(content)))
                place += len(content)
            frames.append(frame)
            offset += len(frame)
        pack = b"".join(frames)
        key = await self.saver.upload(session, pack)
        writer = ManifestWriter()
        placed += [item for item, content in items if not content]
        for item in sorted(placed, key=lambda one: order(one.path)):
            writer.add(item)
        manifest = writer.finish([Pack(key, len(pack))], [])
        named = await self.saver.upload(session, manifest, "manifest")
        return named, hashlib.sha256(manifest).hexdigest(), [key]

    async def turn(self, session: UUID, text: str, files: Files) -> Turn:
        """It says `said: <text>`."""
        berth = await self.begin(session, text)
        await self.say(berth, f"said: {text}")
        saved = await self.save(berth, files)
        await self.office.report(berth, saved, berth.finish(output=f"said: {text}"))
        return Turn(berth, berth.run_id, saved.snapshot.id)

    async def stop(self, berth: Berth) -> None:
        await self.office.report(berth, berth.stopped(berth.head))

    async def told(self, berth: Berth) -> Transcript:
        """What an agent would be told that has lost its memory."""
        caller = WorkerCaller(
            id=berth.grant.worker_id,
            session_id=berth.grant.session_id,
            project_id=self.project,
            manager_id=self.host.id,
            epoch=berth.grant.epoch,
            superseded=False,
            released=False,
        )
        ask = AskTranscript(epoch=berth.grant.epoch, run_id=berth.run_id)
        return await Transcripts(self.office.database).tell(caller, ask)

    async def transcript(self, session: UUID, *, limit: int = 3) -> list[dict[str, Any]]:
        """All pages."""
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await self.get(f"sessions/{session}/transcript", cursor=cursor, limit=limit)
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items

    async def texts(self, session: UUID) -> list[str]:
        told = [one["event"] for one in await self.transcript(session)]
        return [one["text"] for one in told if "text" in one]

    async def get(self, path: str, /, **query: Any) -> Any:
        params = {name: value for name, value in query.items() if value is not None}
        answer = await self.http.get(f"/api/v1/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any, status: int = 201, **headers: str) -> Any:
        answer = await self.http.post(f"/api/v1/{path}", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def fork(self, session: UUID, snapshot: UUID | None = None, **body: Any) -> UUID:
        asked = {"snapshot_id": str(snapshot)} if snapshot else {}
        return UUID((await self.post(f"sessions/{session}/fork", {**asked, **body}))["id"])

    async def roll_back(self, session: UUID, snapshot: UUID, status: int = 200) -> Any:
        body = {"snapshot_id": str(snapshot)}
        return await self.post(f"sessions/{session}/rollback", body, status)


def items_of(files: Files) -> list[tuple[Item, bytes]]:
    """With the directories that they are in. `->target` is a symbolic link's content."""
    found: dict[bytes, tuple[Item, bytes]] = {}
    for path, content in files.items():
        parts = path.split(b"/")
        for depth in range(1, len(parts)):
            above = b"/".join(parts[:depth])
            found[above] = (Item(above, Kind.DIRECTORY, 0o755, 1), b"")
        if content.startswith(b"->"):
            found[path] = (Item(path, Kind.LINK, 0o777, 1, target=content[2:]), b"")
        else:
            found[path] = (Item(path, Kind.FILE, 0o644, 1), content)
    return list(found.values())
