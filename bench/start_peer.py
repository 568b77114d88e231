"""The peer of `bench.start`: the standard library's HTTP server in the same image, run bare."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import docker

WAIT = 60.0
LABEL = "berth.bench"


class Peer:
    def __init__(self, engine: str, image: str) -> None:
        self._client = docker.APIClient(engine, timeout=120, max_pool_size=64)
        self._image = image

    def run(self) -> float:
        """Seconds from the creation to the first 200."""
        (port,) = _free_ports(1)
        try:
            return self._answering(port)
        finally:
            self._remove_all()

    def run_at_once(self, count: int) -> float:
        """Seconds until the last of so many answers."""
        ports = _free_ports(count)
        try:
            with ThreadPoolExecutor(count) as threads:
                begun = time.perf_counter()
                list(threads.map(self._answering, ports))
                return time.perf_counter() - begun
        finally:
            self._remove_all()

    def _answering(self, port: int) -> float:
        configuration = {
            "Image": self._image,
            "Entrypoint": ["python3", "-m", "http.server", "8000"],
            "Cmd": [],
            "Labels": {LABEL: "peer"},
            "ExposedPorts": {"8000/tcp": {}},
            "HostConfig": {
                "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
            },
        }
        begun = time.perf_counter()
        made = self._client.create_container_from_config(configuration)["Id"]
        self._client.start(made)
        while not _answers(port):
            assert time.perf_counter() - begun < WAIT, "the peer does not answer"
            time.sleep(0.002)
        return time.perf_counter() - begun

    def _remove_all(self) -> None:
        for one in self._client.containers(all=True, filters={"label": f"{LABEL}=peer"}):
            self._client.remove_container(one["Id"], force=True, v=True)


def _free_ports(count: int) -> list[int]:
    """All different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as asking:
        asking.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b" 200 " in asking.recv(64)
    return False
