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
        made, took = self._answering()
        self._remove(made)
        return took

    def run_at_once(self, count: int) -> float:
        """Seconds until the last of so many answers."""
        begun = time.perf_counter()
        with ThreadPoolExecutor(count) as threads:
            made = [name for name, _ in threads.map(lambda _: self._answering(), range(count))]
            took = time.perf_counter() - begun
            list(threads.map(self._remove, made))
        return took

    def _answering(self) -> tuple[str, float]:
        port = _free_port()
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
        try:
            self._client.start(made)
            while not _answers(port):
                assert time.perf_counter() - begun < WAIT, "the peer does not answer"
                time.sleep(0.002)
        except BaseException:
            self._remove(made)
            raise
        return made, time.perf_counter() - begun

    def _remove(self, container: str) -> None:
        self._client.remove_container(container, force=True, v=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as asking:
        asking.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b" 200 " in asking.recv(64)
    return False
