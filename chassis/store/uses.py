"""What Berth does with an object store: each of these ends quietly, or raises an `Objection`."""

import httpx

from chassis.errors import DependencyUnavailable, NotFound
from chassis.store.visit import BODY, Objection, Visit


async def reach(visit: Visit) -> None:
    """Raises `DependencyUnavailable` too, when nothing that is well answers."""
    url = visit.access.url
    try:
        answer = await visit.http.get(url)
    except httpx.HTTPError as error:
        how = f"start it, or correct BERTH_OBJECT_STORE_URL: {type(error).__name__} at {url}"
        raise DependencyUnavailable("object_store", how) from error
    if answer.status_code in {500, 502, 503, 504}:
        how = f"wait until it is up, or see its log: {url} answers {answer.status_code}"
        raise DependencyUnavailable("object_store", how)


async def bucket(visit: Visit) -> None:
    await visit.store.check()


async def put_and_get(visit: Visit) -> None:
    for name, body in (("whole", BODY), ("empty", b"")):
        key = visit.key(name)
        await visit.store.put(key, body)
        if await visit.store.get(key) != body:
            raise Objection("it gives other bytes than were put")
        if (size := (await visit.store.head(key)).size) != len(body):
            raise Objection(f"it says that {len(body)} bytes are {size}")


async def missing_key(visit: Visit) -> None:
    for call in (visit.store.get, visit.store.head):
        try:
            await call(visit.key("never-put"))
        except NotFound:
            continue
        raise Objection("it has an object that nobody put")


async def listing(visit: Visit) -> None:
    """Five keys by pages of two, and none of the neighbour's."""
    keys = [visit.key(f"listed/{number}") for number in range(5)]
    for key in [*keys, visit.key("listed-not")]:
        await visit.store.put(key, b"")
    found: list[str] = []
    while len(found) <= len(keys):
        after = found[-1] if found else ""
        page = await visit.store.list(visit.key("listed/"), after=after, limit=2)
        if not page:
            break
        if len(page) > 2:
            raise Objection(f"it lists {len(page)} keys where 2 were asked for")
        found += [one.key for one in page]
    if found != keys:
        raise Objection("its pages by prefix and start-after don't give each key once, in order")


async def delete(visit: Visit) -> None:
    key = visit.key("deleted")
    await visit.store.put(key, BODY)
    for _ in range(2):
        await visit.store.delete(key)
    await _require_absent(visit, key)
    keys = [visit.key(f"deleted/{number}") for number in range(3)]
    for one in keys[:2]:
        await visit.store.put(one, BODY)
    if left := await visit.store.delete_many(keys):
        raise Objection(f"it does not delete {len(left)} of 3 objects in one call")
    for one in keys:
        await _require_absent(visit, one)


async def _require_absent(visit: Visit, key: str) -> None:
    try:
        await visit.store.head(key)
    except NotFound:
        return
    raise Objection("a deleted object is still there")


async def presigned_put(visit: Visit) -> None:
    key = visit.key("signed")
    signed = visit.signed_put(key)
    answer = await visit.http.put(signed.url, content=BODY, headers=signed.headers)
    if not answer.is_success:
        raise Objection(f"it answers {answer.status_code} to what was signed for it")
    if await visit.store.get(key) != BODY:
        raise Objection("it kept other bytes than were sent")


async def presigned_get(visit: Visit) -> None:
    answer = await visit.http.get(visit.store.presign_get(await visit.kept()).url)
    if not answer.is_success:
        raise Objection(f"it answers {answer.status_code} to what was signed for it")
    if answer.content != BODY:
        raise Objection("it gives other bytes than were put")
