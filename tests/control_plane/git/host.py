"""A git host as a process: `git http-backend` behind HTTP, with basic authentication.

`python host.py REPOSITORIES LOG TOKEN_FILE [ADDRESS PORT]`. Whoever pushes, or reads below
`private/`, has to know the token. Besides repositories it has what such a host has: an API, and
files that the dumb protocol reads. It keeps a line for each request.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

PIECE = 64 * 1024


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    repositories: Path
    log: Path
    token: str

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        self._note()
        if parts.path.startswith("/api/"):
            self._whole(200, b'{"secret": "of the host"}', "application/json")
        elif not self._may(parts.path, parts.query):
            self._whole(401, b"who are you?", "text/plain", ("WWW-Authenticate", "Basic"))
        else:
            self._backend(parts.path, parts.query)

    def _note(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = {"method": self.command, "target": self.path, "headers": headers}
        with self.log.open("a") as file:
            file.write(json.dumps(seen) + "\n")

    def _may(self, path: str, query: str) -> bool:
        if "git-receive-pack" not in path + query and not path.startswith("/private/"):
            return True
        wanted = base64.b64encode(f"berth:{self.token}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {wanted}"

    def _backend(self, path: str, query: str) -> None:
        environment = {
            "PATH": os.pathsep.join(os.get_exec_path()),
            "GIT_PROJECT_ROOT": str(self.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.receivepack",
            "GIT_CONFIG_VALUE_0": "true",
            "REMOTE_USER": "berth",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        if (length := self.headers.get("Content-Length")) is not None:
            environment["CONTENT_LENGTH"] = length
        backend = subprocess.Popen(
            ["git", "http-backend"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert backend.stdin is not None
        assert backend.stdout is not None
        with backend:
            self._feed(backend.stdin)
            self._answer(backend.stdout)

    def _feed(self, sink: IO[bytes]) -> None:
        try:
            with sink:
                sink.writelines(self._body())
        except BrokenPipeError:
            self.close_connection = True

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            part = self.rfile.read(min(PIECE, left))
            left -= len(part)
            yield part

    def _answer(self, source: IO[bytes]) -> None:
        status, headers = 200, list[tuple[str, str]]()
        while line := _line(source):
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while part := os.read(source.fileno(), PIECE):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def _whole(self, status: int, body: bytes, kind: str, *headers: tuple[str, str]) -> None:
        for _ in self._body():
            pass
        self.send_response(status)
        for name, value in (*headers, ("Content-Type", kind), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its own name
        """It keeps its own."""


def _line(source: IO[bytes]) -> str:
    """No byte more of it is taken."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(source.fileno(), 1)):
        line += byte
    return line.decode().strip()


def main() -> None:
    Handler.repositories, Handler.log, Handler.token = (
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        Path(sys.argv[3]).read_text(),
    )
    address, port = sys.argv[4:6] or ("127.0.0.1", "0")
    server = ThreadingHTTPServer((address, int(port)), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
