"""Verifications over the API: asked for by administrators, looked at page by page."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from chassis.ids import new_id
from chassis.objects import ObjectStore
from control_plane.store.database import Database
from tests.factories import make_session
from tests.fixtures.control_plane import Caller, Plane
from tests.fixtures.saved import Saved, Saver

PLACE = "/api/v1/admin/workspace-verifications"
FILES = {b"f%d" % n: b"content %d" % n for n in range(9)}


@pytest.fixture
async def administrator(plane: Plane) -> Caller:
    caller = await plane.caller(name="root")
    await plane.connection.execute(
        "UPDATE users SET administrator = true WHERE id = $1", caller.user_id
    )
    return caller


@pytest.fixture
async def saved(plane: Plane, member: Caller, object_store: ObjectStore) -> Saved:
    session = await make_session(member.http)
    database: Database = plane.app.services.verifications._database
    return await Saver(database, object_store).save(UUID(session["id"]), FILES)


async def _asked(administrator: Caller, **body: Any) -> dict[str, Any]:
    made = await administrator.http.post(PLACE, json=body)
    assert made.status_code == 202, made.text
    assert made.headers["location"] == f"{PLACE}/{made.json()['id']}"
    return made.json()


async def test_verification__tells_what_is_wrong_page_by_page(
    plane: Plane, administrator: Caller, saved: Saved, object_store: ObjectStore
) -> None:
    await object_store.delete(saved.keys[0])
    made = await _asked(administrator, session_id=str(saved.session_id))
    assert (made["state"], made["snapshots"]) == ("running", {"pending": 1})
    again = await _asked(administrator, session_id=str(saved.session_id))
    assert again["id"] == made["id"]
    await plane.app.services.verifying.run_once()
    place = f"{PLACE}/{made['id']}"
    done = (await administrator.http.get(place)).json()
    assert (done["state"], done["snapshots"], done["packs"]) == (
        "done",
        {"damaged": 1},
        {"damaged": 1, "intact": 1},
    )
    damaged = (await administrator.http.get(f"{place}/snapshots?outcome=damaged")).json()["items"]
    assert [one["id"] for one in damaged] == [str(saved.id)]
    seen: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await administrator.http.get(f"{place}/findings", params=params)).json()
        seen += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert {one["path"].encode() for one in seen} == saved.paths_in(saved.keys[0])
    assert {(one["object"], one["found"]) for one in seen} == {(saved.keys[0], "missing")}
    assert done["findings"] == len(seen) == damaged[0]["findings"]
    listed = (await administrator.http.get(PLACE)).json()["items"]
    assert [one["id"] for one in listed] == [made["id"]]
    audited = (await administrator.http.get("/api/v1/admin/audit")).json()["items"]
    assert [(one["action"], one["target"]) for one in audited] == [("workspace.verify", made["id"])]
    snapshots = (await administrator.http.get(f"{PLACE}/{new_id()}/snapshots")).status_code
    assert snapshots == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "all"),
        ({"all": True, "project_id": str(uuid4())}, "all"),
        ({"everything": True}, "everything"),
        ({"session_id": "x"}, "session_id"),
    ],
)
async def test_verification__of_nothing_or_of_two_things_is_refused(
    administrator: Caller, body: dict[str, Any], field: str
) -> None:
    refused = await administrator.http.post(PLACE, json=body)
    assert (refused.status_code, refused.json()["details"]["field"]) == (400, field)
