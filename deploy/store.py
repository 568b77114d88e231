"""`python -m deploy.store start|stop NAME`: the stand-in store in a container, for tests.

`start` prints, once it takes requests, what tests are told of it: lines for a shell to export.
"""

import secrets
import sys
import time
import urllib.error
import urllib.request

import docker
import docker.errors
from docker.models.containers import Container

from deploy.images import STORE

STARTED_SECONDS = 120.0
PORT = "9000/tcp"


def start(engine: docker.DockerClient, name: str) -> dict[str, str]:
    """Raises TimeoutError, with what the store said last."""
    access_key, secret_key = f"TEST{secrets.token_hex(8).upper()}", secrets.token_urlsafe(24)
    container = engine.containers.run(
        STORE.tag,
        name=name,
        detach=True,
        init=True,
        environment={"RUSTFS_ACCESS_KEY": access_key, "RUSTFS_SECRET_KEY": secret_key},
        ports={PORT: ("127.0.0.1", 0)},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        labels={"berth.role": "test-store"},
    )
    url = _wait(container)
    return {
        "BERTH_TEST_S3_URL": url,
        "BERTH_TEST_S3_ACCESS_KEY": access_key,
        "BERTH_TEST_S3_SECRET_KEY": secret_key,
    }


def stop(engine: docker.DockerClient, name: str) -> None:
    try:
        engine.containers.get(name).remove(force=True, v=True)
    except docker.errors.NotFound:
        return


def _wait(container: Container) -> str:
    ends = time.monotonic() + STARTED_SECONDS
    while True:
        container.reload()
        ports: dict[str, list[dict[str, str]] | None] = container.attrs["NetworkSettings"]["Ports"]
        bound = ports.get(PORT) or []
        if bound and _answers(url := f"http://127.0.0.1:{bound[0]['HostPort']}"):
            return url
        if container.status == "exited" or time.monotonic() > ends:
            said = container.logs(tail=20).decode(errors="replace")
            raise TimeoutError(f"the store {container.name} does not answer:\n{said}")
        time.sleep(0.5)


def _answers(url: str) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True  # a refusal is an answer
    except OSError:
        return False
    return True


def main() -> None:
    match sys.argv[1:]:
        case ["start", name]:
            try:
                told = start(docker.from_env(), name)
            except TimeoutError as error:
                sys.exit(str(error))
            sys.stdout.writelines(f"export {key}={value}\n" for key, value in told.items())
        case ["stop", name]:
            stop(docker.from_env(), name)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
