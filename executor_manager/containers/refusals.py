"""What an app chose and this host does not grant: refused before anything is made, by its rule."""

from contracts.containers import ContainerChoice, ContainerOffer, Rule
from executor_manager.containers.errors import (
    ImageNotAllowed,
    Refused,
    RuntimeMissing,
    TierRefused,
)

_KINDS: dict[Rule, type[Refused]] = {
    "image_not_allowed": ImageNotAllowed,
    "runtime_missing": RuntimeMissing,
    "tier_refused": TierRefused,
}


def require(offer: ContainerOffer, choice: ContainerChoice) -> None:
    """Raises `Refused`."""
    if (refusal := offer.refusal(choice)) is not None:
        raise _KINDS[refusal.rule](refusal.detail)
