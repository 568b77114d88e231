"""Limits of containers as they are kept: an object that holds what was said."""

import msgspec

from contracts.workers import WorkerLimits
from control_plane.domain.limits import said

_decode = msgspec.json.Decoder(WorkerLimits).decode


def kept(limits: msgspec.Struct | None) -> str:
    return "{}" if limits is None else msgspec.json.encode(said(limits)).decode()


def read(text: str | None) -> WorkerLimits:
    """Empty where there is none, as of a session without an app."""
    return WorkerLimits() if text is None else _decode(text)
