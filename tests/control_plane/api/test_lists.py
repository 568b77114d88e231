"""Every list is paged alike: newest first, `limit`, an opaque cursor that is good for it alone."""

from typing import Any
from uuid import UUID

import pytest

from tests.fixtures.control_plane import Caller, Plane

LISTS = {
    "keys": "/api/v1/keys",
    "apps": "/api/v1/apps",
    "projects": "/api/v1/projects",
    "members": "/api/v1/projects/{project_id}/members",
    "audit": "/api/v1/audit",
}


async def make(owner: Caller, project_id: UUID) -> None:
    """At least five rows of each list."""
    for number in range(5):
        for path, body in (
            ("/api/v1/keys", {"name": str(number)}),
            ("/api/v1/apps", {"name": str(number), "agent": "a", "project_id": str(project_id)}),
            ("/api/v1/projects", {"name": str(number)}),
            (f"/api/v1/projects/{project_id}/users", {"name": str(number)}),
        ):
            made = await owner.http.post(path, json=body)
            assert made.status_code == 201, made.text


@pytest.mark.parametrize("noun", LISTS)
async def test_list__pages_hold_each_row_once(project_id: UUID, owner: Caller, noun: str) -> None:
    await make(owner, project_id)
    path = LISTS[noun].format(project_id=project_id)
    whole = (await owner.http.get(path, params={"limit": 200})).json()
    assert whole["next_cursor"] is None
    assert len(whole["items"]) >= 5
    paged: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await owner.http.get(path, params=query)).json()
        assert 0 < len(page["items"]) <= 2
        paged += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert paged == whole["items"]
    ids = [one["user_id"] if noun == "members" else one["id"] for one in paged]
    assert ids == sorted(set(ids), reverse=True)


@pytest.mark.parametrize("noun", LISTS)
async def test_list__refuses_bad_limits_and_foreign_cursors(
    project_id: UUID, owner: Caller, noun: str
) -> None:
    await make(owner, project_id)
    path = LISTS[noun].format(project_id=project_id)
    for limit in ("0", "201", "many"):
        refused = await owner.http.get(path, params={"limit": limit})
        assert (refused.status_code, refused.json()["details"]["field"]) == (400, "limit")
    other = LISTS["keys" if noun != "keys" else "apps"]
    cursor = (await owner.http.get(other, params={"limit": 1})).json()["next_cursor"]
    for wrong in (cursor, "garbage!"):
        refused = await owner.http.get(path, params={"cursor": wrong})
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_cursor")


async def test_keys__of_a_bound_caller_fill_their_pages(
    plane: Plane, project_id: UUID, owner: Caller
) -> None:
    """What the key may not see is left out before the page is cut."""
    own = await owner.http.post("/api/v1/keys", json={"name": "own", "project_id": str(project_id)})
    for number in range(3):
        await owner.http.post("/api/v1/keys", json={"name": str(number)})
    bound = plane.client(owner.user_id, bound_to=project_id)
    page = (await bound.get("/api/v1/keys", params={"limit": 1})).json()
    assert [one["id"] for one in page["items"]] == [own.json()["id"]]
    assert page["next_cursor"] is None
