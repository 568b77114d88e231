"""The helper's socket: one question a connection; what it was given ends with the connection."""

import asyncio
import contextlib
import errno
import os
import socket
import struct
from pathlib import Path

import msgspec

from chassis.logs import get_logger
from contracts.disks import LINE_BYTES, AskDisk, DiskAnswer, HoldDisk
from executor_manager.volumes.images import ImageRefused, Images

SOCKET = "v.sock"
ASK_SECONDS = 5.0
MOST_CONNECTIONS = 256
CREDENTIALS = struct.Struct("3i")
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EBUSY, errno.ENFILE, errno.EMFILE})

_decode = msgspec.json.Decoder(AskDisk).decode
_log = get_logger()


class Server:
    def __init__(self, images: Images, *, hold_seconds: float) -> None:
        self._images = images
        self._hold_seconds = hold_seconds
        self._connections = asyncio.Semaphore(MOST_CONNECTIONS)

    async def run(self, listener: socket.socket) -> None:
        """Until it is cancelled."""
        server = await asyncio.start_unix_server(self._serve, sock=listener, limit=LINE_BYTES)
        async with server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _asker(writer) == os.geteuid():
                async with self._connections:
                    await self._answer(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            _log.info("asker_gone", error=str(error))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(ASK_SECONDS):
            line = await reader.readline()
        answer, held = await self._done(line)
        try:
            writer.write(msgspec.json.encode(answer) + b"\n")
            await writer.drain()
            if held is not None:
                # whoever asked lets go of it, or ends; either closes the connection
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._hold_seconds):
                        await reader.read(1)
        finally:
            if held is not None:
                os.close(held)

    async def _done(self, line: bytes) -> tuple[DiskAnswer, int | None]:
        try:
            ask = _decode(line)
        except msgspec.MsgspecError as error:
            return DiskAnswer(problem=f"the question is not understood: {error}"), None
        doing = asyncio.ensure_future(asyncio.to_thread(self._do, ask))
        try:
            return DiskAnswer(), await asyncio.shield(doing)
        except ImageRefused as error:
            problem = str(error)
            full = False
        except OSError as error:
            problem, full = error.strerror or str(error), error.errno in FULL
        except asyncio.CancelledError:
            _close_when_done(doing)
            raise
        _log.warning("disk_refused", problem=problem)
        return DiskAnswer(problem=problem, full=full), None

    def _do(self, ask: AskDisk) -> int | None:
        if isinstance(ask, HoldDisk):
            return self._images.hold(ask.worker, ask.mib)
        return self._images.trial()


def _asker(writer: asyncio.StreamWriter) -> int:
    """Whose process it is."""
    connection: socket.socket = writer.get_extra_info("socket")
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    return CREDENTIALS.unpack(told)[1]


def _close_when_done(doing: "asyncio.Future[int | None]") -> None:
    def close(done: "asyncio.Future[int | None]") -> None:
        if not done.cancelled() and done.exception() is None and (held := done.result()):
            os.close(held)

    doing.add_done_callback(close)


def listening(directory: Path) -> socket.socket:
    """Replaces what a former one left: the directory is ours alone."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, beside = directory / SOCKET, directory / ".v"
    beside.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(beside))
    beside.chmod(0o600)
    listener.listen(MOST_CONNECTIONS)
    listener.setblocking(False)
    beside.replace(path)
    return listener
