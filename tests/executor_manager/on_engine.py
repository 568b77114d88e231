"""A manager with the docker backend, whose executors are the stand-in's in an image of its own."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from contracts.workers import WorkerGrant
from tests.executor_manager.managers import STANDIN, Start, name_of
from tests.fixtures.engine import BASE_IMAGE, RealEngine, build

DOCKERFILE = f"""\
FROM {BASE_IMAGE}
COPY executor /standin/executor
ENV PYTHONPATH=/standin PYTHONDONTWRITEBYTECODE=1
CMD ["python3", "-m", "executor"]
"""

DockerStart = Callable[..., Any]


def build_standin(engine: RealEngine, tag: str, extra: str = "") -> str:
    """`extra`: further lines of its Dockerfile, for an image that is another one."""
    files = {str(path.relative_to(STANDIN)): path.read_bytes() for path in STANDIN.rglob("*.py")}
    return build(engine, tag, {"Dockerfile": f"{DOCKERFILE}{extra}".encode(), **files})


def on_engine(start: Start, host: str, image: str, short_dir: Path) -> DockerStart:
    return partial(
        start,
        backend="docker",
        docker_host=host,
        executor_image=image,
        sockets_dir=short_dir / "k",
        executor_env_json="{}",
        default_memory_mib=256,
    )


def container(engine: RealEngine, worker: WorkerGrant) -> Any:
    return engine.client.containers.get(name_of(worker))
