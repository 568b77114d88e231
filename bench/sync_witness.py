"""How many requests the store took, by its own count: nothing stands between it and who is timed.

The stand-in store logs no requests; its gateway counts them, and tells on its administrators'
socket.
"""

import json
from typing import cast

import docker

ASK = 'ceph --admin-daemon "$(ls /tmp/*/client.admin.asok)" perf dump'


class Witness:
    def __init__(self, engine: docker.DockerClient, container: str) -> None:
        self._container = engine.containers.get(container)

    def requests(self) -> int:
        """Since the store was started."""
        status, output = self._container.exec_run(["sh", "-c", ASK])
        said = cast("bytes", output).decode()
        assert status == 0, f"the store does not tell its requests: {said[-500:]}"
        counted = json.loads(said[said.index("{") :])
        return int(counted["rgw"]["req"])
