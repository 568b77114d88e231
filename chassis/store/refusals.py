"""What an object store must refuse: each of these ends quietly, or raises an `Objection`."""

import asyncio
from collections.abc import AsyncGenerator
from urllib.parse import quote

import httpx
import msgspec

from chassis.errors import DependencyUnavailable
from chassis.store.visit import BODY, DEADLINE, WRONG, Objection, Visit, md5, require_refusal

EXPIRES = 1
EXPIRED_WITHIN = 8.0
"""Seconds after which a URL for `EXPIRES` must be refused, even if the two clocks differ a bit."""

ASKED_EVERY = 0.5

WRONG_SECRET = "berth-check-wrong-secret"  # noqa: S105  # that is the point of it


async def wrong_md5(visit: Visit) -> None:
    signed = visit.signed_put(visit.refused_key("wrong_md5"))
    replaced = signed.headers | {"Content-MD5": md5(WRONG)}
    left_out = {"Content-Length": signed.headers["Content-Length"]}
    for what, headers in (
        ("a body of another MD5 than was signed", signed.headers),
        ("another Content-MD5 than was signed", replaced),
        ("no Content-MD5 where one was signed", left_out),
    ):
        answer = await visit.http.put(signed.url, content=WRONG, headers=headers)
        require_refusal(what, answer)


async def wrong_length(visit: Visit) -> None:
    signed = visit.signed_put(visit.refused_key("wrong_length"))
    for what, body in (("a longer", BODY + b"!"), ("a shorter", BODY[:-1]), ("an empty", b"")):
        # the MD5 is the body's own, so that nothing but the length can be objected to
        headers = {"Content-Length": str(len(body)), "Content-MD5": signed.headers["Content-MD5"]}
        answer = await visit.http.put(signed.url, content=body, headers=headers)
        require_refusal(f"{what} body than was signed", answer)
    unsaid = {"Content-MD5": signed.headers["Content-MD5"]}
    answer = await visit.http.put(signed.url, content=_pieces(), headers=unsaid)
    require_refusal("a body that says no length where one was signed", answer)


async def cut_upload(visit: Visit) -> None:
    """Half of the body, then the connection is gone; what was kept of it is looked for later."""
    signed = visit.signed_put(visit.refused_key("cut_upload"))
    try:
        answer = await visit.http.put(signed.url, content=_half(), headers=signed.headers)
    except (_Cut, httpx.TransportError):
        return
    require_refusal("half of a body", answer)


async def other_key(visit: Visit) -> None:
    kept, other = await visit.kept(), visit.key("other")
    await visit.store.put(other, BODY)
    url = visit.store.presign_get(kept).url.replace(quote(kept), quote(other))
    require_refusal("a URL that was signed for another key", await visit.http.get(url))


async def other_method(visit: Visit) -> None:
    url = visit.store.presign_get(await visit.kept()).url
    require_refusal("DELETE with a URL that was signed for GET", await visit.http.delete(url))
    url = visit.store.presign_get(visit.refused_key("other_method")).url
    answer = await visit.http.put(url, content=BODY)
    require_refusal("PUT with a URL that was signed for GET", answer)


async def tampered_url(visit: Visit) -> None:
    url = visit.store.presign_get(await visit.kept()).url
    head, _, signature = url.partition("X-Amz-Signature=")
    other = ("0" if signature[0] != "0" else "1") + signature[1:]
    require_refusal("another signature", await visit.http.get(f"{head}X-Amz-Signature={other}"))
    longer = url.replace("X-Amz-Expires=900", "X-Amz-Expires=901")
    require_refusal("another expiry than was signed", await visit.http.get(longer))


async def expired_url(visit: Visit) -> None:
    url = visit.store.presign_get(await visit.kept(), EXPIRES).url
    try:
        async with asyncio.timeout(EXPIRED_WITHIN):
            while (answer := await visit.http.get(url)).is_success:  # noqa: ASYNC110  # no event tells it
                await asyncio.sleep(ASKED_EVERY)
    except TimeoutError:
        late = f"a URL for {EXPIRES} s is good after {EXPIRED_WITHIN:g} s"
        raise Objection(f"{late}: it ignores the expiry, or its clock is behind ours") from None
    require_refusal("an expired URL", answer)


async def wrong_secret(visit: Visit) -> None:
    await _as_stranger(visit, "wrong_secret", visit.access.access_key)


async def unknown_key(visit: Visit) -> None:
    await _as_stranger(visit, "unknown_key", "berth-check-nobody")


async def anonymous(visit: Visit) -> None:
    base = f"{visit.access.url.rstrip('/')}/{quote(visit.access.bucket)}"
    answer = await visit.http.get(f"{base}/{quote(await visit.kept())}")
    require_refusal("GET without a key", answer)
    require_refusal("LIST without a key", await visit.http.get(f"{base}?list-type=2"))
    url = f"{base}/{quote(visit.refused_key('anonymous'))}"
    require_refusal("PUT without a key", await visit.http.put(url, content=BODY))


async def nothing_kept(visit: Visit) -> None:
    """After all others: nothing of what they sent may be there, whatever was answered."""
    kept = await visit.store.list(visit.refused_key(""))
    if kept:
        names = ", ".join(one.key.rpartition("/")[2] for one in kept)
        raise Objection(f"it keeps what was sent for {names}")


async def _as_stranger(visit: Visit, name: str, access_key: str) -> None:
    access = msgspec.structs.replace(visit.access, access_key=access_key, secret_key=WRONG_SECRET)
    stranger = access.open(deadline=DEADLINE)
    try:
        signed = stranger.presign_get(await visit.kept())
        require_refusal("a GET signed so", await visit.http.get(signed.url))
        await stranger.put(visit.refused_key(name), BODY)
    except DependencyUnavailable:
        return
    finally:
        stranger.close()
    raise Objection("it accepts a PUT signed so")


class _Cut(Exception):
    """Raised in the middle of a body, so that the connection ends there."""


async def _pieces() -> AsyncGenerator[bytes]:
    yield BODY
    yield b"!"


async def _half() -> AsyncGenerator[bytes]:
    yield BODY[: len(BODY) // 2]
    raise _Cut
