"""`/api/v1/keys`, and what the gateway asks about a key."""

from uuid import UUID

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from contracts.identity import INTROSPECT, Introspect, Introspected
from contracts.projects import CreateKey, KeyList, NewKey
from control_plane.domain.access import Action, Principal
from control_plane.routes.paths import litestar_path
from control_plane.routes.policies import GATEWAY, READ
from control_plane.routes.wishes import Cursor, Limit, window
from control_plane.services.access import Access
from control_plane.services.keys import Keys


@post(litestar_path(INTROSPECT), opt=GATEWAY, status_code=200)
async def introspect(data: JSONBody[Introspect], keys: NamedDependency[Keys]) -> Introspected:
    return await keys.introspect(data.key_hash)


@post("/api/v1/keys", opt=READ, status_code=201, tags=["keys"])
async def create_key(
    *,
    data: JSONBody[CreateKey],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    keys: NamedDependency[Keys],
) -> NewKey:
    """The key is shown this once. Whoever may read may have a key of their own: it can no more."""
    if data.project_id is not None:
        others = data.user_id is not None and data.user_id != principal.user_id
        access.require(principal, Action.MANAGE if others else Action.READ, data.project_id)
    return await keys.create(data, principal=principal)


@get("/api/v1/keys", opt=READ, tags=["keys"])
async def list_keys(
    *,
    principal: NamedDependency[Principal],
    keys: NamedDependency[Keys],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> KeyList:
    """The caller's own, and those bound to projects that it owns."""
    return await keys.listed(principal, window(limit, cursor))


@delete("/api/v1/keys/{key_id:uuid}", opt=READ, status_code=204, tags=["keys"])
async def revoke_key(
    *, key_id: FromPath[UUID], principal: NamedDependency[Principal], keys: NamedDependency[Keys]
) -> None:
    await keys.revoke(key_id, principal=principal)


KEY_ROUTES = [introspect, create_key, list_keys, revoke_key]
