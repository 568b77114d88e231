"""The way from an agent to the relay: a port on loopback, piped byte for byte to a Unix socket.

`python -I -S loopback.py PORT SOCKET`, on its own with the standard library alone: it understands
nothing of what passes. Each direction has one small buffer and is read no faster than it is written
on; the end of one direction is passed on as that, a broken one breaks the other too, so that a cut
answer looks cut. While the relay is away a new connection waits for it, for a while; more
connections than `CONNECTIONS` wait in the kernel's queue. It says `listening` and its port once
(PORT 0: any that is free), then a line for each connection that it takes, and ends with its parent.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import struct
import sys

CONNECTIONS = 128
QUEUE = 128
BUFFER_BYTES = 32 * 1024
"""For each direction of a connection: 8 MiB with all of them busy."""
RELAY_SECONDS = 15.0
RELAY_PAUSE = 0.1
PR_SET_PDEATHSIG = 1
ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER: the peer sees a reset, and not the end of what it was sent."""
TAKEN = "taken"


class Pipes:
    def __init__(self, path: str) -> None:
        self._path = path
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError:
                # too many open files, or one that was gone again
                self._room.release()
                await asyncio.sleep(RELAY_PAUSE)
                continue
            _say(TAKEN)
            task = asyncio.create_task(self._pipe(client))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _pipe(self, client: socket.socket) -> None:
        with client:
            relay = await self._relay()
            if relay is None:
                return
            with relay:
                ways = [
                    asyncio.ensure_future(_forward(client, relay)),
                    asyncio.ensure_future(_forward(relay, client)),
                ]
                try:
                    await asyncio.gather(*ways)
                except OSError:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
                finally:
                    for way in ways:
                        way.cancel()
                    # neither may use a socket that is closed, and its number somebody else's
                    await asyncio.wait(ways)

    async def _relay(self) -> socket.socket | None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + RELAY_SECONDS
        while True:
            relay = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            relay.setblocking(False)
            try:
                # at once or not at all: a full queue refuses, it does not make us wait
                relay.connect(self._path)
            except OSError:
                relay.close()
            else:
                return relay
            if loop.time() > ends:
                return None
            await asyncio.sleep(RELAY_PAUSE)


async def _forward(source: socket.socket, sink: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    buffer = bytearray(BUFFER_BYTES)
    view = memoryview(buffer)
    while size := await loop.sock_recv_into(source, buffer):
        await loop.sock_sendall(sink, view[:size])
    sink.shutdown(socket.SHUT_WR)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def end_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def main(port: int, path: str) -> None:
    end_with_parent()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        sys.exit(f"cannot listen on port {port} of loopback: {error.strerror}")
    listener.listen(QUEUE)
    listener.setblocking(False)
    _say(f"listening {listener.getsockname()[1]}")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Pipes(path).serve(listener))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
