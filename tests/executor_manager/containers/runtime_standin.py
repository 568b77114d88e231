"""`runtime_standin.py HOW ARGUMENT…`: runc, and of the sockets in mounted directories lets through
as much as gVisor does.

`open`: all, as with `--host-uds=all`. `connect`: what was bound outside, as with `--host-uds=open`.
`closed`: nothing, as without. `broken`: it starts no container.
"""
# ruff: noqa: S606  # a program of its own

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

SOCKETS = frozenset({"/berth/control", "/berth/agent"})


def main(how: str, arguments: list[str]) -> None:
    if "create" in arguments:
        if how == "broken":
            sys.exit("this runtime is broken")
        bundle = Path(arguments[arguments.index("--bundle") + 1])
        configuration = json.loads((bundle / "config.json").read_text())
        for mount in configuration["mounts"]:
            if mount["destination"] in SOCKETS:
                weaken(how, mount)
        (bundle / "config.json").write_text(json.dumps(configuration))
    os.execv(shutil.which("runc") or "/usr/sbin/runc", ["runc", *arguments])


def weaken(how: str, mount: dict[str, Any]) -> None:
    if how == "connect":
        mount["options"].append("ro")
    if how == "closed":
        mount.update(type="tmpfs", source="tmpfs", options=["nosuid", "nodev"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
