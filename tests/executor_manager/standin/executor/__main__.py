"""An executor's outside with nothing inside: its control socket, its spool's mark, its phases.

Files in HOME, or in the spool where HOME is in memory, steer it: `never_ready`, `phase` (what it
says of itself), `reason` (why its save aside fails) and its `detail`, `deaf` (takes no command).
"""
# ruff: noqa: TID251  # a program of its own, with no settings but its environment

import base64
import hashlib
import http.client
import json
import os
import signal
import socket
import socketserver
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

env = os.environ
home, control = Path(env["BERTH_HOME_DIR"]), Path(env["BERTH_CONTROL_DIR"])
workspace, spool = Path(env["BERTH_WORKSPACE_DIR"]), Path(env["BERTH_SPOOL_DIR"])
agent = (
    (int(env["BERTH_AGENT_UID"]), int(env["BERTH_AGENT_GID"])) if "BERTH_AGENT_UID" in env else None
)
home = spool if agent else home
boot_id = env.get("BERTH_BOOT_ID") or Path("/proc/sys/kernel/random/boot_id").read_text().strip()
state = {"phase": "ready", "since": time.monotonic()}


@contextmanager
def as_agent() -> Generator[None]:
    """In a container only the agent may touch its workspace, its uid 0 included."""
    if agent:
        os.setegid(agent[1])
        os.seteuid(agent[0])
    try:
        yield
    finally:
        if agent:
            os.seteuid(0)
            os.setegid(0)


def callback(body: dict[str, object]) -> int:
    connection = http.client.HTTPConnection("relay")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(control / "relay.sock"))
    path = f"/internal/v1/workers/{env['BERTH_WORKER_ID']}/callbacks"
    connection.request("POST", path, json.dumps(body))
    return connection.getresponse().status


def take(command: dict[str, object]) -> None:
    with as_agent(), (workspace / "taken").open("a") as taken:
        taken.write(f"{command['type']} {command['id']}\n")
    if command["type"] == "start":
        state["phase"] = "busy"
        callback({"started": command["id"]})
    if command["type"] == "stop":
        state["phase"] = "stopped"
        callback({"stopped": command["id"]})


def said(file: Path) -> str:
    return file.read_text() if file.exists() else ""


class Control(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/workspace/file?path="):
            self.file(self.path.partition("=")[2])
            return
        if self.path.startswith("/tty?"):
            self.terminal()
            return
        phase = (home / "phase").read_text() if (home / "phase").exists() else state["phase"]
        status = {
            "worker_id": env["BERTH_WORKER_ID"],
            "epoch": int(env["BERTH_EPOCH"]),
            "boot_id": boot_id,
            "phase": phase,
            **{name: said(home / name) for name in ("reason", "detail")},
            "idle_seconds": time.monotonic() - state["since"] if phase == "ready" else None,
        }
        self.answer(status)

    def do_PUT(self) -> None:
        """What came, and with which headers."""
        taken = b""
        while size := int(self.rfile.readline(), 16):
            taken += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        heard = {name.lower(): value for name, value in self.headers.items()}
        self.answer({"path": self.path, "taken": len(taken), "headers": heard})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/exec":
            self.answer({"asked": body})
            return
        if self.path == "/supersede":
            with as_agent():
                (workspace / "superseded").touch()
            state["phase"] = "superseded"
            self.answer({})
            return
        if (home / "deaf").exists():
            self.answer({"done": []})
            return
        for command in body["commands"]:
            take(command)
        self.answer({"done": [command["id"] for command in body["commands"]]})

    def answer(self, body: object, status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def file(self, name: str) -> None:
        """`endless` and `cut` promise more than they are; any other is looked for."""
        path = workspace / name
        if not path.exists() and name not in {"endless", "cut"}:
            problem = {"title": "no", "status": 404, "code": "not_found", "detail": name}
            self.answer(problem, 404)
            return
        content = path.read_bytes() if path.exists() else b"x" * 65536
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) if path.exists() else 2**40))
        self.end_headers()
        try:
            self.wfile.write(content)
            while name == "endless":
                self.wfile.write(content)
        except OSError:
            (workspace / "reader_left").touch()

    def terminal(self) -> None:
        """A WebSocket that tells how it was asked for, then sends back what it gets."""
        if "terminal=none" in self.path:
            problem = {"title": "no", "status": 404, "code": "not_found", "detail": "none"}
            self.answer(problem, 404)
            return
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        told = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()  # noqa: S324  # as the protocol says
        self.send_header("Sec-WebSocket-Accept", told)
        self.end_headers()
        self.frame(0x1, json.dumps({"type": "exited", "exit_code": len(self.path)}).encode())
        self.frame(0x2, self.path.encode())
        while (content := self.unmasked()) is not None:
            self.frame(0x2, content)
        (workspace / "viewer_left").touch()
        self.close_connection = True

    def frame(self, kind: int, content: bytes) -> None:
        size = len(content)
        length = bytes([size]) if size < 126 else bytes([126]) + size.to_bytes(2, "big")
        self.wfile.write(bytes([0x80 | kind]) + length + content)

    def unmasked(self) -> bytes | None:
        head = self.rfile.read(2)
        if len(head) < 2 or head[0] & 0xF == 8:
            return None
        size = head[1] & 0x7F
        size = int.from_bytes(self.rfile.read(2), "big") if size == 126 else size
        mask = self.rfile.read(4)
        return bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(size)))

    def address_string(self) -> str:
        return "manager"


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def wait_assigned() -> None:
    """Warm: a bound socket says that it is prepared, a file whose it became."""
    if "TEST_WARM_FAILS" in env:
        sys.exit("it fails")
    told = control / "assigned.json"
    if not told.exists():
        path.unlink(missing_ok=True)
        prepared.bind(str(path))
    while not told.exists():
        time.sleep(0.005)
    assigned = json.loads(told.read_bytes())
    env.update({f"BERTH_{name.upper()}": str(value) for name, value in assigned.items()})


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
path = control / "executor.sock"
prepared = socket.socket(socket.AF_UNIX)
if "BERTH_WARM" in env:
    wait_assigned()
mark = {"worker_id": env["BERTH_WORKER_ID"], "epoch": int(env["BERTH_EPOCH"]), "boot_id": boot_id}
(spool / "spool.json").write_text(json.dumps(mark))
with as_agent(), (workspace / "starts").open("a") as starts:
    starts.write(f"{os.getpid()}\n")
path.unlink(missing_ok=True)


def held() -> bool:
    with as_agent():
        kept = (workspace / "never_ready").exists()
    return kept or (home / "never_ready").exists()


while held():
    time.sleep(0.05)
with Server(str(path), Control) as server:
    server.serve_forever(poll_interval=0.05)
