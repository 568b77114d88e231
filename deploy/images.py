"""`python -m deploy.images [store] [agents]`: the images of docker-compose.yml, on this engine.

Ours are built by the engine's own builder, through its API: neither the docker command nor BuildKit
is needed. Public ones are pulled; where no registry answers, stand-ins are made of Debian packages
(deploy/standins), as root, with mmdebstrap. `store` makes `berth-store:ceph` as well, an S3 server
for such a host; `agents` makes `berth-executor-agents:latest`, the executor's with real agents in
it. What is there and was made of the same is left alone.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import docker
import docker.errors
from docker.models.images import Image

from deploy.build_arguments import build_arguments

ROOT = Path(__file__).parent.parent
STANDINS = ROOT / "deploy" / "standins"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
MADE_OF = "berth.made-of"
"""A label: the digest of everything that an image was made of."""
MADE_FOR = "berth.made-for"
"""A label, of first stages as well: the tag that is built."""
BUILD_SECONDS = 1800
MEGABYTE = 1_000_000


class CannotBuild(Exception):
    """The message says what to do."""


@dataclass(frozen=True, slots=True)
class Standin:
    tag: str
    kind: str
    sources: tuple[str, ...]
    changes: tuple[str, ...] = ()
    """Of the image's configuration, as lines of a Dockerfile."""


@dataclass(frozen=True, slots=True)
class Own:
    tag: str
    dockerfile: str
    sources: tuple[str, ...]
    base: "Own | None" = None
    """What it is built on; None: on Python's."""


_ENVIRONMENT = (
    "ENV LANG=C.UTF-8",
    *(
        f"ENV {name}={CERTIFICATES}"
        for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS")
    ),
)
PYTHON = Standin(
    "python:3.11-slim-bookworm", "python", ("rootfs.sh",), (*_ENVIRONMENT, 'CMD ["python3"]')
)
POSTGRES = Standin(
    "postgres:15",
    "postgres",
    ("rootfs.sh", "postgres-entrypoint.sh"),
    (
        *_ENVIRONMENT,
        "ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "ENV PGDATA=/var/lib/postgresql/data",
        "VOLUME /var/lib/postgresql/data",
        "EXPOSE 5432",
        "STOPSIGNAL SIGINT",
        'ENTRYPOINT ["postgres-entrypoint.sh"]',
        'CMD ["postgres"]',
    ),
)
STORE = Standin(
    "berth-store:ceph",
    "ceph",
    ("rootfs.sh", "ceph-entrypoint.sh"),
    (
        "USER 10001:10001",
        "VOLUME /data",
        "EXPOSE 9000",
        'ENTRYPOINT ["ceph-entrypoint.sh"]',
    ),
)
SERVICES = Own(
    "berth:latest",
    "deploy/Dockerfile",
    (
        "deploy/ready.py", "requirements-services.lock", "contracts", "chassis", "snapshots", "sql",
        "control_plane", "executor_manager", "gateway", "cli",
    ),
)  # fmt: skip
EXECUTOR = Own(
    "berth-executor:latest",
    "deploy/Dockerfile.executor",
    ("requirements-executor.lock", "contracts", "chassis", "snapshots", "executor", "scripted"),
)


AGENTS = Own(
    "berth-executor-agents:latest",
    "deploy/Dockerfile.agents",
    (
        "deploy/agents/node.lock", "deploy/agents/install.sh", "deploy/agents/claude-code",
        "deploy/agents/codex", "deploy/agents/opencode",
    ),
    base=EXECUTOR,
)  # fmt: skip


class _Importer(Protocol):
    """The part of the SDK that its stubs leave without types."""

    def import_image_from_file(self, filename: str, repository: str, tag: str) -> object: ...


class Images:
    def __init__(self, engine: docker.DockerClient) -> None:
        self._engine = engine

    def build(self, own: Own) -> Image:
        python = self.public(PYTHON)
        base = self.build(own.base) if own.base else python
        paths = [own.dockerfile, ".dockerignore", *own.sources]
        digest = digest_of(ROOT, paths, [str(base.id)])
        found = self._find(own.tag)
        if found is not None and found.labels.get(MADE_OF) == digest:
            return found
        with _told(own.tag):
            self._engine.images.build(
                path=str(ROOT),
                dockerfile=own.dockerfile,
                tag=own.tag,
                labels={MADE_OF: digest, MADE_FOR: own.tag},
                buildargs={
                    "BASE_IMAGE": own.base.tag if own.base else PYTHON.tag,
                    "BUILD_IMAGE": PYTHON.tag,
                    **build_arguments(),
                },
                rm=True,
                forcerm=True,
                timeout=BUILD_SECONDS,
            )
        self._forget_former(own)
        built = self._engine.images.get(own.tag)
        _tell_size(built)
        return built

    def public(self, standin: Standin) -> Image:
        """The one that is here, or the registry's, or else the stand-in."""
        found = self._find(standin.tag)
        if found is None:
            try:
                with _told(f"{standin.tag}, pulled"):
                    return self._engine.images.pull(standin.tag)
            except docker.errors.APIError:
                sys.stdout.write(f"no registry has {standin.tag}: a stand-in is made\n")
        elif MADE_OF not in found.labels:
            return found
        return self.standin(standin)

    def standin(self, standin: Standin) -> Image:
        digest = digest_of(STANDINS, standin.sources, standin.changes)
        found = self._find(standin.tag)
        if found is not None and found.labels.get(MADE_OF) == digest:
            return found
        with _told(standin.tag), tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch) / "rootfs.tar"
            _root_file_system(standin.kind, archive)
            self._import(archive, standin, digest)
        return self._engine.images.get(standin.tag)

    def _forget_former(self, own: Own) -> None:
        """What a newer build took the tag from, and the first stages but the newest: its cache."""
        labels = {"dangling": True, "label": f"{MADE_FOR}={own.tag}"}
        former = sorted(self._engine.images.list(filters=labels), key=_created, reverse=True)
        stages = [image for image in former if MADE_OF not in image.labels]
        for image in {*former} - {*stages[:1]}:
            with contextlib.suppress(docker.errors.APIError):  # a container has it still
                self._engine.images.remove(str(image.id))

    def _import(self, archive: Path, standin: Standin, digest: str) -> None:
        """In two steps: an import knows fewer instructions than a build."""
        bare = f"berth-standin-{standin.kind}:bare"
        repository, tag = bare.split(":")
        importer = cast("_Importer", self._engine.api)
        importer.import_image_from_file(str(archive), repository, tag)
        with tempfile.TemporaryDirectory() as context:
            lines = [f"FROM {bare}", f'LABEL {MADE_OF}="{digest}"', *standin.changes]
            (Path(context) / "Dockerfile").write_text("\n".join(lines) + "\n")
            self._engine.images.build(path=context, tag=standin.tag, rm=True, forcerm=True)
        self._engine.images.remove(bare)

    def _find(self, tag: str) -> Image | None:
        try:
            return self._engine.images.get(tag)
        except docker.errors.ImageNotFound:
            return None


def digest_of(root: Path, paths: Iterable[str], words: Iterable[str]) -> str:
    """Of names, modes and contents: what git would call the same, whenever it was written."""
    digest = hashlib.sha256()
    for path in sorted(file for one in paths for file in _files(root / one)):
        executable = os.access(path, os.X_OK)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root)}\0{executable}\0{content}\n".encode())
    for word in words:
        digest.update(f"{word}\n".encode())
    return digest.hexdigest()


def _files(path: Path) -> Iterable[Path]:
    if path.is_file():
        return [path]
    found = [file for file in path.rglob("*") if file.is_file()]
    return [file for file in found if "__pycache__" not in file.parts and file.suffix != ".pyc"]


def _created(image: Image) -> str:
    return str(image.attrs.get("Created", ""))


def _root_file_system(kind: str, archive: Path) -> None:
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        raise CannotBuild(
            f"Without a registry the {kind} image is made of Debian packages: as root, with"
            " mmdebstrap (apt-get install mmdebstrap). Or load the image from elsewhere"
            " (docker save, docker load)."
        )
    made = subprocess.run([str(STANDINS / "rootfs.sh"), kind, str(archive)], check=False)
    if made.returncode != 0:
        raise CannotBuild(f"The {kind} image could not be made: see what rootfs.sh said.")


def _tell_size(image: Image) -> None:
    """Of the whole, and of each layer of its own."""
    for layer in reversed(image.history()):
        words = str(layer["CreatedBy"]).partition("#(nop) ")[2] or str(layer["CreatedBy"])
        if layer["Size"] >= MEGABYTE and "COPY" in words:
            sys.stdout.write(f"  {layer['Size'] // MEGABYTE:5} MB  {words.split()[-1]}\n")
    sys.stdout.write(f"  {image.attrs['Size'] // MEGABYTE:5} MB  {image.tags[0]}\n")


@contextlib.contextmanager
def _told(what: str) -> Generator[None]:
    began = time.monotonic()
    sys.stdout.write(f"image {what} …\n")
    sys.stdout.flush()
    yield
    sys.stdout.write(f"image {what}: {time.monotonic() - began:.0f} s\n")


def main(arguments: list[str]) -> None:
    if set(arguments) - {"store", "agents"}:
        sys.exit(__doc__)
    try:
        engine = docker.from_env(timeout=BUILD_SECONDS)
        engine.ping()
    except docker.errors.DockerException as error:
        sys.exit(f"No Docker engine answers: start one, or correct DOCKER_HOST: {error}")
    images = Images(engine)
    try:
        for own in (SERVICES, EXECUTOR, *([AGENTS] if "agents" in arguments else [])):
            images.build(own)
        images.public(POSTGRES)
        if "store" in arguments:
            images.standin(STORE)
    except CannotBuild as error:
        sys.exit(str(error))
    except docker.errors.BuildError as error:
        for line in error.build_log:
            sys.stderr.write(str(line.get("stream", "")))
        sys.exit(f"An image could not be built: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
