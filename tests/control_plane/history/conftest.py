"""A desk: a person at the API, workers behind it, a real store."""

from uuid import UUID

import pytest

from chassis.objects import ObjectStore
from tests.control_plane.history.desk import Desk
from tests.fixtures.control_plane import Caller, Plane
from tests.fixtures.office import Office
from tests.fixtures.saved import Saver


@pytest.fixture
async def desk(plane: Plane, owner: Caller, office: Office, object_store: ObjectStore) -> Desk:
    projects = await owner.http.get("/api/v1/projects")
    (project,) = projects.json()["items"]
    saver = Saver(office.database, object_store)
    return Desk(office, saver, await office.host(), UUID(project["id"]), owner.http)
