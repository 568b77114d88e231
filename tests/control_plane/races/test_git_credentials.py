"""How many hosts a project has credentials for, under a crowd; and without the lock."""

import asyncio
from uuid import uuid4

import pytest

from chassis.errors import BerthError
from chassis.failpoints import arm, disarm_all
from contracts.errors import Code
from contracts.git import PutGitCredential
from control_plane.domain.git_keys import GitKeys
from control_plane.services import git_credentials
from control_plane.services.git_credentials import GitCredentials
from control_plane.store import quotas
from tests.fixtures.barriers import Crowd
from tests.fixtures.guards import perhaps_without, query_of
from tests.fixtures.office import Office

MOST = 3

LOCK = query_of(quotas, "lock_projects", " FOR NO KEY UPDATE", "")


@pytest.mark.parametrize("guarded", [True, False])
async def test_credentials__no_more_than_that_however_many_come_at_once(
    office: Office, replica: Office, monkeypatch: pytest.MonkeyPatch, *, guarded: bool
) -> None:
    monkeypatch.setattr(git_credentials, "MOST", MOST)
    project, keys = await office.project(), GitKeys(bytes(32))
    replicas = [GitCredentials(one.database, keys=keys) for one in (office, replica)]
    data, by = PutGitCredential(token="t"), uuid4()
    arm("git_credentials.counted", Crowd(4, all_come=not guarded).action)
    try:
        with perhaps_without(LOCK, guarded=guarded):
            done = await asyncio.gather(
                *(
                    replicas[n % 2].put(project, f"git{n}.example.test", data, by=by)
                    for n in range(8)
                ),
                return_exceptions=True,
            )
    finally:
        disarm_all()
    refused = [error for error in done if isinstance(error, BaseException)]
    assert {error.code for error in refused if isinstance(error, BerthError)} <= {Code.CONFLICT}
    kept = await office.value("SELECT count(*) FROM git_credentials")
    assert kept == 8 - len(refused)
    assert (kept == MOST) is guarded, kept
    if guarded:
        again = await replicas[0].put(
            project, (await replicas[0].listed(project)).items[0].host, data, by=by
        )
        assert again.username == "git", "one that is there is replaced"
