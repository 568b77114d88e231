"""The workers whose policy was pushed, each with its sockets and what became of its streams."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import msgspec
from aiohttp import web

from contracts.egress import TellDenials
from contracts.errors import Code
from contracts.relay import AskStreams, RelayPolicy
from executor_manager.relay.agent_policy import decide_agent, head_refused
from executor_manager.relay.denials import CONTROL, Denials, closing
from executor_manager.relay.faces import Bounds, Face, open_face
from executor_manager.relay.index.indexes import Indexes
from executor_manager.relay.index.pages import Room
from executor_manager.relay.index.paths import ToIndex
from executor_manager.relay.named import NamedUpstreams
from executor_manager.relay.policy import AskedUs, Denied, decide_control
from executor_manager.relay.problems import problem
from executor_manager.relay.settings import Settings
from executor_manager.relay.sockets import FOR_GROUP, FOR_OWNER, check_below
from executor_manager.relay.streams import Streams
from executor_manager.relay.telling import Outcome, Telling
from executor_manager.relay.tunnel.dialling import Connection
from executor_manager.relay.tunnel.tunnels import TunnelFrame, Tunnels
from executor_manager.relay.upstreams import Upstreams

CONTROL_SOCKET = "relay.sock"
AGENT_SOCKET = "agent.sock"
CONTROL_CLOSE_SECONDS = 2.0
AGENT_CLOSE_SECONDS = 0
"""Its answers have no end that is worth waiting for."""


@dataclass(slots=True, kw_only=True)
class _Worker:
    policy: RelayPolicy
    telling: Telling
    denials: Denials
    tunnels: Tunnels
    room: Room
    complete: bool = False
    """All its sockets are there."""
    control: Face | None = None
    agent: Face | None = None
    """None where the policy names no directory for it."""
    streams: Streams = field(default_factory=Streams)

    @property
    def faces(self) -> list[Face]:
        return [face for face in (self.control, self.agent) if face is not None]


class Workers:
    def __init__(
        self,
        *,
        boot: str,
        settings: Settings,
        upstreams: Upstreams,
        named: NamedUpstreams,
        tunnels: TunnelFrame,
    ) -> None:
        self._boot = boot
        self._settings = settings
        self._upstreams = upstreams
        self._named = named
        self._indexes = Indexes(settings, named)
        self._tunnels = tunnels
        self._workers: dict[UUID, _Worker] = {}
        self._changing = asyncio.Lock()
        self._farewells: set[asyncio.Task[None]] = set()
        """Of workers that are gone: what is left to tell."""
        self._control_bounds = Bounds(
            connections=settings.relay_control_connections,
            head_seconds=settings.relay_head_seconds,
            close_seconds=CONTROL_CLOSE_SECONDS,
            follow_client=False,
        )
        self._agent_bounds = Bounds(
            connections=settings.relay_agent_connections,
            head_seconds=settings.relay_head_seconds,
            close_seconds=AGENT_CLOSE_SECONDS,
            follow_client=True,
        )

    @property
    def ids(self) -> list[UUID]:
        return [worker_id for worker_id, worker in self._workers.items() if worker.complete]

    async def put(self, policy: RelayPolicy) -> None:
        """Raises `SocketRefused`. A policy with the same directories keeps its sockets."""
        replaced: list[Face] = []
        async with self._changing:
            await asyncio.to_thread(self._check_places, policy)
            worker = self._workers.get(policy.worker_id) or self._new(policy)
            self._workers[policy.worker_id] = worker
            worker.policy, worker.complete = policy, False
            worker.tunnels.apply(policy)
            await self._bind(worker, replaced)
            worker.complete = True
        await _shut(replaced)

    async def delete(self, worker_id: UUID) -> None:
        async with self._changing:
            worker = self._workers.pop(worker_id, None)
            faces = worker.faces if worker else []
            for face in faces:
                await face.unbind()
        await _shut(faces)
        if worker is not None:
            task = asyncio.create_task(worker.telling.close())
            self._farewells.add(task)
            task.add_done_callback(self._farewells.discard)

    async def close(self) -> None:
        await asyncio.gather(*(self.delete(worker_id) for worker_id in list(self._workers)))
        await asyncio.gather(*self._farewells)

    def _new(self, policy: RelayPolicy) -> _Worker:
        async def tell(batch: TellDenials) -> Outcome:
            return await self._upstreams.tell(worker.policy, batch)

        telling = Telling(tell, gather_seconds=self._settings.relay_denials_seconds)
        denials = Denials(telling)
        worker = _Worker(
            policy=policy,
            telling=telling,
            denials=denials,
            tunnels=Tunnels(policy, self._tunnels, denials),
            room=self._indexes.room(),
        )
        return worker

    def _check_places(self, policy: RelayPolicy) -> None:
        top = self._settings.relay_sockets_dir
        for name, place in (("control_dir", policy.control_dir), ("agent_dir", policy.agent_dir)):
            if top is not None and place:
                check_below(top, Path(place), field=name)

    async def _bind(self, worker: _Worker, replaced: list[Face]) -> None:
        policy, worker_id = worker.policy, worker.policy.worker_id

        async def control(request: web.BaseRequest) -> web.StreamResponse:
            return await self._control(worker_id, request)

        async def agent(request: web.BaseRequest) -> web.StreamResponse:
            return await self._agent(worker_id, request)

        async def tunnel(inside: Connection) -> None:
            if (known := self._workers.get(worker_id)) is None:
                inside[1].transport.abort()
            else:
                await known.tunnels.serve(inside)

        path = Path(policy.control_dir) / CONTROL_SOCKET
        if not await _still(worker.control, path, replaced):
            worker.control = await open_face(path, FOR_OWNER, control, self._control_bounds)
        path = Path(policy.agent_dir) / AGENT_SOCKET if policy.agent_dir else None
        if not await _still(worker.agent, path, replaced):
            worker.agent = None
            if path is not None:
                worker.agent = await open_face(path, FOR_GROUP, agent, self._agent_bounds, tunnel)

    async def _control(self, worker_id: UUID, request: web.BaseRequest) -> web.StreamResponse:
        worker = self._workers.get(worker_id)
        if worker is None:
            return _nobody()
        decision = decide_control(worker_id, request.method, request.raw_path)
        if isinstance(decision, Denied):
            return worker.denials.deny(worker.policy, request, decision, upstream=CONTROL)
        if isinstance(decision, AskedUs):
            return await self._streams(worker, request)
        token = {"Authorization": f"Bearer {worker.policy.token}"}
        added = token if decision.upstream == "control_plane" else {}
        return await self._upstreams.forward(request, decision, added)

    async def _agent(self, worker_id: UUID, request: web.BaseRequest) -> web.StreamResponse:
        worker = self._workers.get(worker_id)
        if worker is None:
            return _nobody()
        decision = head_refused(request) or decide_agent(
            worker.policy.upstreams,
            request.method,
            request.raw_path,
            request.headers.get("Host", ""),
        )
        if isinstance(decision, ToIndex) and request.body_exists:
            passed = Denied("body")
        elif isinstance(decision, ToIndex):
            passed = await self._indexes.forward(request, decision, worker.streams, worker.room)
        elif isinstance(decision, Denied):
            passed = decision
        else:
            passed = await self._named.forward(
                request, decision, worker.streams, lambda: worker.policy.token
            )
        if isinstance(passed, Denied):
            return worker.denials.deny(worker.policy, request, passed)
        return passed

    async def _streams(self, worker: _Worker, request: web.BaseRequest) -> web.Response:
        try:
            asked = msgspec.json.decode(await request.read() or b"{}", type=AskStreams)
        except msgspec.MsgspecError as error:
            return closing(problem(Code.VALIDATION, str(error)))
        told = worker.streams.told(self._boot, asked.after)
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")


async def _still(face: Face | None, path: Path | None, replaced: list[Face]) -> bool:
    """Whether it is bound where it should be; if not, it is unbound."""
    if face is None:
        return path is None
    if face.path == path and await asyncio.to_thread(face.path.is_socket):
        return True
    await face.unbind()
    replaced.append(face)
    return False


async def _shut(faces: list[Face]) -> None:
    await asyncio.gather(*(face.shutdown() for face in faces))


def _nobody() -> web.Response:
    return closing(problem(Code.FORBIDDEN, "this worker has no policy any more"))
