"""One client's connection to the scripted model, with what the standard library's has not: bodies
in chunks both ways, and waiting that notices when the client is gone.
"""

import contextlib
import json
import select
import socket
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar

import msgspec

LONGEST_BODY = 64 * 1024 * 1024

Json = dict[str, Any]


class ClientLeft(Exception):
    """Whoever asked is gone."""


class BadBody(Exception):
    """The request's body cannot be read; the message says why."""


class Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    left: ClassVar = (ClientLeft, BrokenPipeError, ConnectionResetError)

    def handle(self) -> None:
        """A client may leave between two requests, too."""
        with contextlib.suppress(*self.left):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """The request log is ours."""

    def wait(self, seconds: float) -> None:
        """Raises `ClientLeft` as soon as the client is gone."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        if poll.poll(seconds * 1000) and not self.connection.recv(1, socket.MSG_PEEK):
            raise ClientLeft

    def read_body(self) -> Json:
        """Raises `BadBody`."""
        try:
            return msgspec.json.decode(self._read(), type=dict[str, Any])
        except ValueError as error:
            self.close_connection = True
            raise BadBody(str(error)) from error

    def send_whole(
        self, status: int, body: Json, headers: dict[str, str], *, half: bool = False
    ) -> None:
        """`half`: the rest never comes."""
        content = json.dumps(body).encode()
        self._head(status, {**headers, "Content-Type": "application/json"}, len(content))
        self.wfile.write(content[: len(content) // 2] if half else content)

    def start_stream(self, headers: dict[str, str]) -> None:
        told = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        self._head(200, {**headers, **told}, None)

    def send_chunk(self, content: bytes) -> None:
        """An empty one is the end."""
        self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))

    def hang_up(self) -> None:
        """Whatever is missing never comes."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _head(self, status: int, headers: dict[str, str], length: int | None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _read(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        return self._exactly(int(self.headers.get("Content-Length") or 0))

    def _read_chunks(self) -> bytes:
        content = b""
        while size := int(self.rfile.readline(100).partition(b";")[0], 16):
            content += self._exactly(size, room=LONGEST_BODY - len(content))
            self.rfile.readline(10)
        while self.rfile.readline(1000).strip():
            pass
        return content

    def _exactly(self, size: int, *, room: int = LONGEST_BODY) -> bytes:
        if size > room:
            raise ValueError(f"the body is longer than {LONGEST_BODY} bytes")
        return self.rfile.read(size)
