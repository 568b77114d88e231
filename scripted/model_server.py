"""The scripted model: a real process on loopback that answers as a model provider does.

`python -m scripted.model_server [--port N] [--log FILE]` prints `{"url": …}` when it listens. Real
agents run against it without an account and without internet. What it was asked stands in the log,
a JSON object a line: a witness outside of the agent and of the platform.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TextIO, cast

import msgspec

from scripted import anthropic
from scripted.anthropic import Json
from scripted.replies import Reply, reply_to

MODELS = ("scripted-1", "scripted-2")
SIDE_ANSWER = Reply(text="A title", usage=(10, 2, 0))
LONGEST_BODY = 64 * 1024 * 1024


class RequestLog:
    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._lock = threading.Lock()

    def write(self, record: Json) -> None:
        if self._file is not None:
            with self._lock:
                self._file.write(json.dumps({"at": time.time(), **record}) + "\n")
                self._file.flush()


class ModelServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, log: RequestLog) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.log = log


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _log(self) -> RequestLog:
        return cast("ModelServer", self.server).log

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """The request log is ours."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        listed = [{"id": name, "type": "model", "display_name": name} for name in MODELS]
        self._json(200, {"data": listed, "has_more": False})

    def do_POST(self) -> None:
        request = self._body()
        path = self.path.partition("?")[0]
        if request is None:
            self._json(400, anthropic.error_body(400))
        elif path.endswith("/count_tokens"):
            self._json(200, {"input_tokens": len(json.dumps(request)) // 4})
        elif path.endswith("/messages"):
            self._messages(request)
        else:
            self._json(404, anthropic.error_body(404))

    def _messages(self, request: Json) -> None:
        tools: list[Json] = request.get("tools") or []
        side = anthropic.is_side_call(request)
        conversation = anthropic.conversation_of(request)
        reply, step = (SIDE_ANSWER, -2) if side else reply_to(conversation)
        self._log.write(
            {
                "path": self.path,
                "model": request.get("model"),
                "step": step,
                "tools": [tool.get("name") for tool in tools],
                "conversation": [[said.role, said.text] for said in conversation],
            }
        )
        time.sleep(reply.hang)
        if reply.status:
            self._json(reply.status, reply.body or anthropic.error_body(reply.status))
        elif request.get("stream"):
            self._stream(anthropic.events(request, reply), reply)
        else:
            self._json(200, anthropic.whole(request, reply))

    def _stream(self, events: Iterator[anthropic.Event], reply: Reply) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Connection", "close")
        self.end_headers()
        pieces = 0
        try:
            for kind, event in events:
                if kind == "content_block_delta":
                    if pieces == reply.die_after:
                        return
                    pieces += 1
                    time.sleep(reply.delay)
                self.wfile.write(f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self._log.write({"path": self.path, "event": "the client left"})

    def _body(self) -> Json | None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > LONGEST_BODY:
            self.close_connection = True
            return None
        try:
            return msgspec.json.decode(self.rfile.read(length), type=dict[str, Any])
        except msgspec.MsgspecError:
            return None

    def _json(self, status: int, body: Json) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripted.model_server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, default=None)
    asked = parser.parse_args()
    log = asked.log.open("a") if asked.log else None
    with ModelServer(asked.port, RequestLog(log)) as server:
        sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}) + "\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
