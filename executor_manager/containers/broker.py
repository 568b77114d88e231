"""The allow-list in front of `docker_configuration`: what an app chose, as what may be made of it.

Refusals name their rule. What an image's name means is looked up once, before anything is made; the
container, and each one that is made again over its directories, is of that image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contracts.containers import (
    ContainerChoice,
    ContainerOffer,
    allowed_by,
    canonical,
    is_sandbox,
)
from contracts.preflight import PreflightFinding
from executor_manager.containers import preflight
from executor_manager.containers.docker_configuration import DockerOptions
from executor_manager.containers.docker_engine import Engine, Image, Info
from executor_manager.containers.errors import ImageMissing, ImageNotAllowed
from executor_manager.containers.refusals import require
from executor_manager.containers.runtimes import ABSENT, FIT, Trial


@dataclass(frozen=True, slots=True)
class Admitted:
    image: str
    """Its id."""
    runtime: str
    """Empty: the engine's default."""


@dataclass(slots=True)
class Broker:
    engine: Engine
    options: DockerOptions
    offer: ContainerOffer = field(default_factory=ContainerOffer)
    own: str = ""
    """The engine's default, where that has a kernel of its own."""

    def judge(
        self, info: Info, findings: Sequence[PreflightFinding], tried: Mapping[str, Trial]
    ) -> None:
        """What is offered from now on, on this engine. `tried`: its runtimes."""
        self.own = info.default_runtime if is_sandbox(info.default_runtime) else ""
        trials = {one: tried.get(one, ABSENT) for one in self.options.runtimes}
        self.offer = ContainerOffer(
            images=[self.options.image, *self.options.images],
            runtimes=[one for one, trial in trials.items() if trial == FIT],
            unfit={one: ": ".join(trial) for one, trial in trials.items() if trial != FIT},
            untrusted=preflight.failures(findings),
        )

    def admit(self, choice: ContainerChoice) -> Admitted:
        """Raises `Refused`, `ImageMissing`, and as the engine does."""
        require(self.offer, choice)
        runtime = self.offer.runtime_for(choice) or self.own
        return Admitted(image=self._image(choice.image).id, runtime=runtime)

    def _image(self, asked: str) -> Image:
        image = self._named(asked) if asked else self.engine.image(self.options.image)
        if volumes := sorted((image.config.volumes if image.config else None) or {}):
            raise ImageNotAllowed(
                f"the image {asked or self.options.image} declares volumes ({', '.join(volumes)}),"
                " which the engine would make on its own disk, without a limit: build it without"
                " VOLUME"
            )
        return image

    def _named(self, asked: str) -> Image:
        entry = allowed_by(self.offer.images, asked) or asked
        if digest := canonical(entry)[1]:
            return self._pinned(entry, digest)
        name, digest = canonical(asked)
        image = self.engine.image(name)
        # looked for by the digest, any image that the engine has would be found
        if digest and digest not in _digests(image):
            raise _absent(name, digest)
        return image

    def _pinned(self, entry: str, digest: str) -> Image:
        """By its registry's digest, or by its id, where no registry ever gave it one."""
        repository = canonical(entry)[0].rpartition(":")[0]
        for reference in (f"{repository}@{digest}", digest):
            try:
                image = self.engine.image(reference)
            except ImageMissing:
                continue
            if digest in _digests(image):
                return image
        raise _absent(repository, digest)


def _absent(name: str, digest: str) -> ImageMissing:
    return ImageMissing(
        f"the engine has no image {name} of the digest {digest}, and another is not allowed: load"
        " or pull it on this host"
    )


def _digests(image: Image) -> set[str]:
    """A registry's, and its id."""
    return {image.id, *(one.rpartition("@")[2] for one in image.repo_digests or [])}
