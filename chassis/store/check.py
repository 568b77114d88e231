"""The check of an object store: every probe by name, and what each found."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import httpx
import msgspec

from chassis.errors import BerthError, DependencyUnavailable
from chassis.store import refusals, uses
from chassis.store.access import StoreAccess
from chassis.store.visit import Objection, Visit

_OTHER = "use another store: Berth asks for plain S3 calls and presigned URLs, nothing else"
_CLOSED = "close the bucket: no policy or access list of it may let everybody in"
_SIGNED = "use a store that checks signatures, or turn that on"
_CLOCK = "set the clocks of both hosts; else use a store that heeds the expiry"
_UNSAFE = "use a store that enforces it: with this one an executor could store other bytes"
_KEYS = "give it keys of its own, and let it check them"


@dataclass(frozen=True, slots=True)
class Probe:
    name: str
    run: Callable[[Visit], Awaitable[None]]
    remedy: str


FIRST = Probe("bucket", uses.bucket, "give it the right keys, and create the bucket")
"""If this fails, so would all others."""

LAST = Probe("nothing_kept", refusals.nothing_kept, _UNSAFE)

QUICK = (
    FIRST,
    Probe("presigned_put", uses.presigned_put, _OTHER),
    Probe("wrong_md5", refusals.wrong_md5, _UNSAFE),
    Probe("wrong_length", refusals.wrong_length, _UNSAFE),
    Probe("anonymous", refusals.anonymous, _CLOSED),
    LAST,
)
"""In well under a second, for each start."""

FULL = (
    *QUICK[:-1],
    Probe("put_and_get", uses.put_and_get, _OTHER),
    Probe("missing_key", uses.missing_key, _OTHER),
    Probe("listing", uses.listing, _OTHER),
    Probe("delete", uses.delete, _OTHER),
    Probe("presigned_get", uses.presigned_get, _OTHER),
    Probe("cut_upload", refusals.cut_upload, _UNSAFE),
    Probe("other_key", refusals.other_key, _SIGNED),
    Probe("other_method", refusals.other_method, _SIGNED),
    Probe("tampered_url", refusals.tampered_url, _SIGNED),
    Probe("expired_url", refusals.expired_url, _CLOCK),
    Probe("wrong_secret", refusals.wrong_secret, _KEYS),
    Probe("unknown_key", refusals.unknown_key, _KEYS),
    LAST,
)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    check: str
    passed: bool
    reason: str = ""
    remedy: str = ""


async def check_store(access: StoreAccess, probes: Sequence[Probe]) -> AsyncGenerator[Finding]:
    """As they come. Raises `DependencyUnavailable` when the store is away, and then at once."""
    async with Visit(access) as visit:
        await uses.reach(visit)
        for probe in probes:
            found = await _look(visit, probe)
            yield found
            if probe is FIRST and not found.passed:
                return


async def require_store(access: StoreAccess, probes: Sequence[Probe]) -> None:
    """Raises `DependencyUnavailable` when the store is away, `UnfitStore` when it fails."""
    failed = [found async for found in check_store(access, probes) if not found.passed]
    if failed:
        raise UnfitStore(failed)


class UnfitStore(DependencyUnavailable):
    """It answers, and does not do what Berth needs."""

    def __init__(self, failed: Sequence[Finding]) -> None:
        told = "; ".join(f"{one.check}: {one.reason}: {one.remedy}" for one in failed)
        super().__init__("object_store", told)


async def _look(visit: Visit, probe: Probe) -> Finding:
    try:
        await probe.run(visit)
    except Objection as objection:
        return _failed(probe, str(objection))
    except DependencyUnavailable as error:
        return _failed(probe, error.details["missing"][0]["how"])
    except BerthError as error:
        return _failed(probe, error.detail)
    except KeyError as error:
        return _failed(probe, f"its answer lacks {error}")
    except httpx.HTTPError as error:
        return _failed(probe, f"it did not answer: {type(error).__name__}")
    return Finding(check=probe.name, passed=True)


def _failed(probe: Probe, reason: str) -> Finding:
    return Finding(check=probe.name, passed=False, reason=reason, remedy=probe.remedy)
