"""Runs in a container of the image, without us and without a network: starts each agent that has a
profile there, asks it to introduce itself, and prints what it answered.

The standard library alone. What it is told: nothing. What it prints: JSON, by agent.
"""

import json
import os
import select
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

FOLDERS = ("/opt/berth/executor/agents/profiles", "/etc/berth/agents")
WITHIN = 60.0
ASK = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": 1, "clientCapabilities": {}},
}


def introduced(profile: dict[str, Any]) -> dict[str, Any]:
    command = [part.format(python=sys.executable, import_path="") for part in profile["command"]]
    env = {"PATH": os.environ["PATH"], "HOME": "/tmp/home", "PYTHONPATH": "/opt/berth"}  # noqa: TID251 - runs alone
    env |= {name: text for name, text in profile.get("env", {}).items() if "{" not in text}
    Path("/tmp/home").mkdir(exist_ok=True)
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(ASK).encode() + b"\n")
        process.stdin.flush()
        try:
            return first_answer(process.stdout.fileno())
        finally:
            process.kill()


def first_answer(descriptor: int) -> dict[str, Any]:
    ends, read = time.monotonic() + WITHIN, b""
    while time.monotonic() < ends:
        ready, _, _ = select.select([descriptor], [], [], 1.0)
        piece = os.read(descriptor, 65536) if ready else b""
        if ready and not piece:
            raise RuntimeError("it ended without an answer")
        read += piece
        for line in read.splitlines()[: read.count(b"\n")]:
            answer = json.loads(line)
            if answer.get("id") == 0:
                return answer["result"]
    raise RuntimeError("it did not answer")


def main() -> None:
    found = {}
    for path in (path for folder in FOLDERS for path in sorted(Path(folder).glob("*.toml"))):
        profile = tomllib.loads(path.read_text())
        try:
            answer = introduced(profile)
        except (OSError, RuntimeError) as error:
            answer = {"missing": str(error)}
        found[profile["name"]] = {"version": profile.get("version", ""), **answer}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
