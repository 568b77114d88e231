"""Whether managers grant what an app says of its sessions' containers. Pure."""

from collections.abc import Iterable

import msgspec

from contracts.containers import AskedContainer, ContainerChoice, ContainerOffer, ContainerRefusal
from contracts.reasons import Reason

REASONS = {
    "image_not_allowed": Reason.IMAGE_NOT_ALLOWED,
    "image_missing": Reason.IMAGE_MISSING,
    "runtime_missing": Reason.RUNTIME_MISSING,
    "tier_refused": Reason.TIER_REFUSED,
}
"""By what a manager calls it."""


def choice_of(asked: AskedContainer) -> ContainerChoice:
    return ContainerChoice(image=asked.image or "", runtime=asked.runtime or "", tier=asked.tier)


def refused_by_all(
    choice: ContainerChoice, offers: Iterable[ContainerOffer]
) -> ContainerRefusal | None:
    """Of the first; None: one grants it, or there is none to ask."""
    refusals = [offer.refusal(choice) for offer in offers]
    return refusals[0] if refusals and None not in refusals else None


def refused(choices: Iterable[str], offer: ContainerOffer) -> list[str]:
    """Those of `choices`, as they are kept, that it does not grant."""
    return [
        text
        for text in choices
        if offer.refusal(msgspec.json.decode(text, type=ContainerChoice)) is not None
    ]
