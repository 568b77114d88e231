"""What an app chose, on a real engine: images by what they were, refusals before all else."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chassis import failpoints
from chassis.failpoints import FailpointReached
from chassis.ids import new_id
from contracts.containers import ContainerChoice
from executor_manager.containers.backend import Container, ContainerSpec, ContainerState
from executor_manager.containers.docker_backend import DockerBackend
from executor_manager.containers.docker_configuration import DockerOptions
from executor_manager.containers.docker_places import Volumes
from executor_manager.containers.docker_site import DockerSite
from executor_manager.containers.errors import (
    BackendError,
    ImageMissing,
    ImageNotAllowed,
    RuntimeMissing,
    TierRefused,
)
from executor_manager.containers.preflight import failures
from tests.executor_manager.containers.contract import spec, started
from tests.fixtures.engine import RESIDENT, RealEngine, build

pytestmark = [pytest.mark.docker, pytest.mark.root]

TAG = f"berth-test-broker:chosen-{os.getpid()}"
RUNTIME = "io.containerd.runc.v2"
"""Every engine has it, besides its default."""
ABSENT_RUNTIME = "berth-test-absent"

Opened = Callable[..., Any]


def build_chosen(engine: RealEngine, tag: str, base: str, line: str) -> str:
    """Its id; another one for another `line`."""
    dockerfile = f"FROM {base}\n{line}\n"
    files = {"Dockerfile": dockerfile.encode(), "resident.py": RESIDENT.read_bytes()}
    build(engine, tag, files)
    return engine.client.images.get(tag).id


@pytest.fixture
async def images(engine: RealEngine, resident_image: str) -> AsyncGenerator[tuple[str, str]]:
    """Two ids. The tag is the first one's."""
    made = [f"{TAG}-{which}" for which in ("one", "other")]

    def make() -> list[str]:
        ids = [build_chosen(engine, tag, resident_image, f"LABEL is={tag}") for tag in made]
        engine.client.images.get(made[0]).tag(TAG)
        return ids

    one, other = await asyncio.to_thread(make)
    yield one, other
    for tag in (TAG, *made):
        await asyncio.to_thread(remove_image, engine, tag)


def remove_image(engine: RealEngine, tag: str) -> None:
    if engine.client.images.list(name=tag):
        engine.client.images.remove(tag, force=True)


def move_tag(engine: RealEngine, image: str) -> None:
    engine.client.images.get(image).tag(TAG)


@pytest.fixture
async def opened(
    engine: RealEngine, resident_image: str, short_dir: Path
) -> AsyncGenerator[Opened]:
    """Backends of one manager, on the same directories: as after a restart of it."""
    first = DockerOptions(manager_id=new_id(), image=resident_image, log_mib=1)
    backends: list[DockerBackend] = []

    async def open_one(**changes: Any) -> DockerBackend:
        volumes = Volumes(short_dir / "s", short_dir / "k")
        site = DockerSite(host=engine.host, call_seconds=30.0, volumes=volumes)
        backend = DockerBackend(site, replace(first, **changes))
        backends.append(backend)
        await backend.open()
        return backend

    yield open_one
    await asyncio.to_thread(engine.remove_all, berth_manager=str(first.manager_id))
    for backend in backends:
        await backend.close()


def choosing(**choice: Any) -> ContainerSpec:
    return replace(spec(), choice=ContainerChoice(**choice))


async def inspected(engine: RealEngine, container: Container) -> dict[str, Any]:
    found = await asyncio.to_thread(engine.client.containers.get, container.name)
    return found.attrs


async def require_nothing_made(backend: DockerBackend, wanted: ContainerSpec) -> None:
    assert await backend.get(wanted.identity.name) is None
    listing = await backend.list()
    assert (listing.containers, listing.strangers) == ([], [])


async def test_tag_moved_after_the_claim__it_is_made_of_what_was_allowed(
    opened: Opened, engine: RealEngine, images: tuple[str, str]
) -> None:
    one, other = images
    backend = await opened(images=(TAG,))
    failpoints.arm("docker.recorded", lambda: move_tag(engine, other))
    try:
        container = await started(backend, choosing(image=TAG))
    finally:
        failpoints.disarm_all()
    assert (await inspected(engine, container))["Image"] == one == container.image
    fresh = await backend.adopt_or_create(choosing(image=TAG))
    assert (await inspected(engine, fresh))["Image"] == other, "the next one is of the new"


async def test_tag_moved_while_the_manager_was_away__it_is_made_of_what_was_allowed(
    opened: Opened, engine: RealEngine, images: tuple[str, str]
) -> None:
    one, other = images
    wanted = choosing(image=TAG)

    def end() -> None:
        raise FailpointReached("docker.recorded")

    failpoints.arm("docker.recorded", end)
    try:
        with pytest.raises(FailpointReached):
            await (await opened(images=(TAG,))).adopt_or_create(wanted)
    finally:
        failpoints.disarm_all()
    await asyncio.to_thread(move_tag, engine, other)
    # its administrator allows it no more: what was begun goes on
    container = await started(await opened(), wanted)
    assert (await inspected(engine, container))["Image"] == one == container.image


async def test_lost_by_the_engine__it_is_made_again_of_the_same(
    opened: Opened, engine: RealEngine, images: tuple[str, str]
) -> None:
    one, other = images
    backend = await opened(images=(TAG,))
    container = await started(backend, choosing(image=TAG))
    lost = await asyncio.to_thread(engine.client.containers.get, container.name)
    await asyncio.to_thread(lost.remove, force=True)
    await asyncio.to_thread(move_tag, engine, other)
    again = await backend.start(container.name)
    assert (again.state, again.image) == (ContainerState.RUNNING, one)
    assert (await inspected(engine, again))["Image"] == one


async def test_digest__allows_that_alone_whatever_the_tag_means(
    opened: Opened, engine: RealEngine, images: tuple[str, str]
) -> None:
    one, other = images
    backend = await opened(images=(f"{TAG}@{one}",))
    await asyncio.to_thread(move_tag, engine, other)
    for asked in (TAG, f"{TAG}@{one}"):
        container = await backend.adopt_or_create(choosing(image=asked))
        assert (await inspected(engine, container))["Image"] == one
    with pytest.raises(ImageNotAllowed):
        await backend.adopt_or_create(choosing(image=f"{TAG}@{other}"))


async def test_digest__that_the_engine_does_not_have_is_missing_and_others_are_not_hurt(
    opened: Opened,
) -> None:
    absent = f"sha256:{'0' * 64}"
    backend = await opened(images=(f"{TAG}@{absent}", "berth-test-broker:absent"))
    for asked in (TAG, "berth-test-broker:absent"):
        wanted = choosing(image=asked)
        with pytest.raises(ImageMissing) as refused:
            await backend.adopt_or_create(wanted)
        assert refused.value.reason == "image_missing"
        await require_nothing_made(backend, wanted)
    assert (await started(backend, spec())).state is ContainerState.RUNNING


async def test_digest__beside_an_allowed_name_leads_to_no_other_image(
    opened: Opened, engine: RealEngine, images: tuple[str, str], resident_image: str
) -> None:
    """The engine has them, and an id alone is enough for it."""
    one, other = images
    base = (await asyncio.to_thread(engine.client.images.get, resident_image)).id
    backend = await opened(images=(TAG,))
    for digest in (other, base):
        wanted = choosing(image=f"{TAG}@{digest}")
        with pytest.raises(ImageMissing, match="another is not allowed"):
            await backend.adopt_or_create(wanted)
        await require_nothing_made(backend, wanted)
    made = await backend.adopt_or_create(choosing(image=f"{TAG}@{one}"))
    assert made.image == one


@pytest.mark.parametrize(
    ("choice", "kind", "words"),
    [
        ({"image": "python:3.11-slim-bookworm"}, ImageNotAllowed, "is not allowed"),
        ({"image": TAG, "runtime": "runc"}, RuntimeMissing, "no runtime runc"),
        ({"runtime": ABSENT_RUNTIME}, RuntimeMissing, f"no runtime {ABSENT_RUNTIME}"),
        ({"tier": "untrusted"}, TierRefused, "untrusted sessions"),
        ({"tier": "untrusted", "runtime": RUNTIME}, TierRefused, "untrusted sessions"),
    ],
)
async def test_refused__by_the_rule_before_anything_is_made(
    opened: Opened, choice: dict[str, Any], kind: type[BackendError], words: str
) -> None:
    backend = await opened(images=(TAG,), runtimes=(RUNTIME, ABSENT_RUNTIME))
    assert backend.offer.runtimes == [RUNTIME]
    wanted = choosing(**choice)
    with pytest.raises(kind, match=words):
        await backend.adopt_or_create(wanted)
    await require_nothing_made(backend, wanted)


async def test_runtime__that_is_allowed_is_the_containers(
    opened: Opened, engine: RealEngine
) -> None:
    backend = await opened(runtimes=(RUNTIME,))
    container = await started(backend, choosing(runtime=RUNTIME))
    assert (await inspected(engine, container))["HostConfig"]["Runtime"] == RUNTIME


async def test_image_with_volumes__is_refused(
    opened: Opened, engine: RealEngine, resident_image: str
) -> None:
    tag = f"{TAG}-volumes"
    await asyncio.to_thread(build_chosen, engine, tag, resident_image, "VOLUME /data /cache")
    try:
        backend = await opened(images=(tag,))
        with pytest.raises(ImageNotAllowed, match=r"declares volumes \(/cache, /data\)"):
            await backend.adopt_or_create(choosing(image=tag))
        with pytest.raises(ImageNotAllowed, match="declares volumes"):
            await opened(image=tag)  # the manager's own no more than others
    finally:
        await asyncio.to_thread(remove_image, engine, tag)


async def test_preflight__looks_at_this_very_engine(opened: Opened, engine: RealEngine) -> None:
    backend = await opened()
    found = {one.check: one for one in backend.preflight}
    assert (
        found["engine_version"].found == (await asyncio.to_thread(engine.client.version))["Version"]
    )
    assert found["seccomp"].state == "ok"
    assert "processes" in found["ulimits"].found
    assert "free where" in found["disk"].found
    assert backend.offer.untrusted == failures(backend.preflight)
    kept = backend.capabilities.kept()
    assert (kept["system_call_filter"], kept["untrusted"]) == (True, False)
