"""The workers whose policy was pushed, each with its socket."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from aiohttp import web

from chassis.logs import get_logger
from contracts.errors import Code
from contracts.relay import RelayPolicy
from executor_manager.relay.policy import Denied, decide_control
from executor_manager.relay.problems import problem
from executor_manager.relay.sockets import bind_for_owner, remove_socket
from executor_manager.relay.upstreams import Upstreams

SOCKET_NAME = "relay.sock"
CLOSE_SECONDS = 2.0
SHOWN = 200
"""Characters of a denied target in the log."""

_log = get_logger()


@dataclass(slots=True)
class _Face:
    """A bound socket of a worker; `agent/agent.sock` with its named upstreams becomes a second."""

    policy: RelayPolicy
    path: Path
    server: web.Server
    listener: asyncio.Server


class Workers:
    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._faces: dict[UUID, _Face] = {}
        self._changing = asyncio.Lock()

    @property
    def ids(self) -> list[UUID]:
        return list(self._faces)

    async def put(self, policy: RelayPolicy) -> None:
        """Raises `SocketRefused`. A policy that differs in its token alone keeps its socket."""
        async with self._changing:
            face = self._faces.get(policy.worker_id)
            path = Path(policy.control_dir) / SOCKET_NAME
            if face is not None and face.path == path and await asyncio.to_thread(path.is_socket):
                face.policy = policy
                return
            await self._close(policy.worker_id)
            self._faces[policy.worker_id] = await self._bind(policy, path)

    async def delete(self, worker_id: UUID) -> None:
        async with self._changing:
            await self._close(worker_id)

    async def close(self) -> None:
        async with self._changing:
            for worker_id in self.ids:
                await self._close(worker_id)

    async def _bind(self, policy: RelayPolicy, path: Path) -> _Face:
        worker_id = policy.worker_id

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            return await self._handle(worker_id, request)

        listening = await asyncio.to_thread(bind_for_owner, path)
        # bodies go on byte for byte: unpacked, one would outgrow the Content-Length that goes with
        # it, and its rest be read upstream as the next request
        server = web.Server(handle, access_log=None, auto_decompress=False)
        listener = await asyncio.get_running_loop().create_unix_server(server, sock=listening)
        return _Face(policy, path, server, listener)

    async def _close(self, worker_id: UUID) -> None:
        face = self._faces.pop(worker_id, None)
        if face is None:
            return
        face.listener.close()
        await face.server.shutdown(CLOSE_SECONDS)
        await asyncio.to_thread(remove_socket, face.path)

    async def _handle(self, worker_id: UUID, request: web.BaseRequest) -> web.StreamResponse:
        face = self._faces.get(worker_id)
        if face is None:
            return problem(Code.FORBIDDEN, "this worker has no policy any more")
        decision = decide_control(worker_id, request.method, request.raw_path)
        if isinstance(decision, Denied):
            _log.warning(
                "relay_denied",
                worker=worker_id,
                epoch=face.policy.epoch,
                method=request.method,
                target=request.raw_path.partition("?")[0][:SHOWN],
                rule=decision.rule,
            )
            answer = problem(Code.FORBIDDEN, "the policy does not allow this", rule=decision.rule)
            answer.force_close()  # what follows on this connection may be the denied one's body
            return answer
        token = {"Authorization": f"Bearer {face.policy.token}"}
        added = token if decision.upstream == "control_plane" else {}
        return await self._upstreams.forward(request, decision, added)
