"""What an app may say of its sessions' containers, and what a manager grants of it.

All else of a container is the installation's: no body of any route has a field for it.
"""

from typing import Annotated, Literal

import msgspec

from contracts.wire import Body, Wire
from contracts.workers import Tier

ImageName = Annotated[
    str,
    msgspec.Meta(
        pattern=(
            r"^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
            r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
        ),
        max_length=400,
        examples=["berth-executor-data:2"],
    ),
]
"""As an engine reads it: `name`, `name:tag`, and `@sha256:…` to have no other."""
RuntimeName = Annotated[
    str,
    msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64, examples=["runsc"]),
]
"""As an engine names it."""
Rule = Literal["image_not_allowed", "runtime_missing", "tier_refused"]
SANDBOXES = ("runsc", "kata")
"""Runtimes whose names begin so have a kernel of their own."""


class AskedContainer(Body, frozen=True, kw_only=True):
    """`ContainerChoice` as a person asks for it; null or left out: the installation's."""

    image: ImageName | None = None
    runtime: RuntimeName | None = None
    tier: Tier = "trusted"


class ContainerChoice(Wire, frozen=True, kw_only=True):
    image: str = ""
    """One of those that managers allow; empty: the manager's own."""
    runtime: str = ""
    """The engine's name of it; empty: what the tier needs, or the engine's default."""
    tier: Tier = "trusted"


class ContainerRefusal(Wire, frozen=True, kw_only=True):
    rule: Rule
    field: Literal["image", "runtime", "tier"]
    detail: str
    """What was asked, and what would be right."""


class ContainerOffer(Wire, frozen=True, kw_only=True):
    """What a manager grants. Both it and the control plane ask `refusal`: there is one rule."""

    images: list[str] = msgspec.field(default_factory=list[str])
    """Besides its own; one with a digest allows that alone."""
    runtimes: list[str] = msgspec.field(default_factory=list[str])
    """Allowed, known to its engine, and tried: a session lives in them."""
    unfit: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """Runtimes that are allowed and not to be had: why not, and what would help."""
    untrusted: list[str] = msgspec.field(
        default_factory=lambda: ["its manager offers no such tier"]
    )
    """Why it takes no `untrusted` session; empty: it does."""

    def refusal(self, choice: ContainerChoice) -> ContainerRefusal | None:
        if choice.image and allowed_by(self.images, choice.image) is None:
            known = ", ".join(self.images) or "none besides the manager's own"
            detail = f"the image {choice.image} is not allowed; allowed: {known}"
            return ContainerRefusal(rule="image_not_allowed", field="image", detail=detail)
        if choice.runtime and choice.runtime not in self.runtimes:
            known = ", ".join(self.runtimes) or "none besides the engine's default"
            why = f": {self.unfit[choice.runtime]}" if choice.runtime in self.unfit else ""
            detail = f"there is no runtime {choice.runtime} to be had{why}; to be had: {known}"
            return ContainerRefusal(rule="runtime_missing", field="runtime", detail=detail)
        if choice.tier == "untrusted" and (why := self._untrusted(choice.runtime)):
            return ContainerRefusal(rule="tier_refused", field="tier", detail=why)
        return None

    def runtime_for(self, choice: ContainerChoice) -> str:
        """Of a choice that is not refused."""
        if choice.runtime or choice.tier == "trusted":
            return choice.runtime
        return next(one for one in self.runtimes if is_sandbox(one))

    def _untrusted(self, runtime: str) -> str:
        if self.untrusted:
            return f"untrusted sessions are not taken: {'; '.join(self.untrusted)}"
        if is_sandbox(runtime) if runtime else any(map(is_sandbox, self.runtimes)):
            return ""
        unfit = [f"; {name}: {why}" for name, why in self.unfit.items() if is_sandbox(name)]
        return (
            f"untrusted sessions need a runtime with a kernel of its own"
            f" ({' or '.join(SANDBOXES)}): {runtime or 'the default runtime'} is not such a one"
            f"{''.join(unfit)}"
        )


def is_sandbox(runtime: str) -> bool:
    return runtime.startswith(SANDBOXES)


def allowed_by(entries: list[str], asked: str) -> str | None:
    """The entry that allows it: of the same name, and of the same digest where both say one. What
    an entry without a digest allows is whatever its name means.
    """
    name, digest = canonical(asked)
    same = [entry for entry in entries if canonical(entry)[0] == name]
    fitting = [entry for entry in same if not digest or canonical(entry)[1] in {"", digest}]
    # one that says this digest comes before one that says none
    return min(fitting, key=lambda entry: canonical(entry)[1] != digest, default=None)


def canonical(image: str) -> tuple[str, str]:
    """Its whole name and its digest: engines leave out what they take for granted."""
    name, _, digest = image.partition("@")
    name = name.removeprefix("docker.io/").removeprefix("library/")
    tagged = ":" in name.rpartition("/")[2]
    return (name if tagged else f"{name}:latest"), digest
