"""What a session's container may use: the session's own limits, else its app's. Pure."""

import msgspec

from contracts.workers import WorkerLimits

NONE = WorkerLimits()


def effective(own: WorkerLimits, apps: WorkerLimits) -> WorkerLimits:
    """What neither says is left to the manager's defaults."""
    return changed(apps, said(own))


def said(limits: msgspec.Struct) -> dict[str, float | int]:
    """By field, without those that are left to somebody else."""
    return {name: value for name, value in msgspec.structs.asdict(limits).items() if value}


def changed(limits: WorkerLimits, new: dict[str, float | int]) -> WorkerLimits:
    return msgspec.structs.replace(limits, **new)
