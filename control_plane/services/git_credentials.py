"""Credentials of projects for git hosts: set by owners, used for what sessions fetch and push."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from chassis.errors import BerthError, DependencyUnavailable, NotFound
from chassis.failpoints import failpoint
from chassis.logs import get_logger
from contracts.errors import Code
from contracts.git import GitCredential, GitCredentialList, PutGitCredential
from control_plane.domain.git_keys import GitKeys
from control_plane.domain.seals import SealBroken
from control_plane.store import audit, quotas
from control_plane.store import git_credentials as store
from control_plane.store.database import Database, Unit
from control_plane.store.git_credentials import StoredCredential

MOST = 200
"""Of one project: as many as a policy names repositories."""

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCredential:
    username: str
    token: str = field(repr=False)

    @property
    def authorization(self) -> str:
        return f"Basic {self._pair}"

    @property
    def secrets(self) -> tuple[str, str]:
        """In neither form it is ever told."""
        return self.token, self._pair

    @property
    def _pair(self) -> str:
        return base64.b64encode(f"{self.username}:{self.token}".encode()).decode()


class GitCredentials:
    """`keys` is None where the deployment has no secret key: then no token can be set or used."""

    def __init__(self, database: Database, *, keys: GitKeys | None) -> None:
        self._database = database
        self._keys = keys

    async def listed(self, project_id: UUID) -> GitCredentialList:
        async with self._database.reading() as connection:
            return GitCredentialList(items=await store.listed(connection, project_id))

    async def get(self, project_id: UUID, host: str) -> GitCredential:
        found = await self.find(project_id, host)
        if found is None:
            raise _none(host)
        return found.shown

    async def put(
        self, project_id: UUID, host: str, data: PutGitCredential, *, by: UUID
    ) -> GitCredential:
        """Raises `validation_failed` that names the field; audited without the token."""
        if not all("\x21" <= character <= "\x7e" for character in data.token):
            raise _wrong("token", "visible ASCII characters only: is there a line end in it?")
        sealed = self._require_keys().seal(data.token, project_id=project_id, name=host)
        async with self._database.unit() as unit:
            await quotas.lock_one(unit, "project", project_id)
            known = await store.listed(unit.connection, project_id)
            await failpoint("git_credentials.counted")
            if len(known) >= MOST and all(one.host != host for one in known):
                raise BerthError(Code.CONFLICT, f"a project has credentials for {MOST} hosts")
            done = await store.put(
                unit,
                project_id=project_id,
                host=host,
                username=data.username,
                sealed_token=sealed,
            )
            detail = {"username": data.username}
            await _audit(unit, project_id, host, "git_credential.put", detail, by=by)
        return done

    async def remove(self, project_id: UUID, host: str, *, by: UUID) -> None:
        async with self._database.unit() as unit:
            if not await store.remove(unit, project_id, host):
                raise _none(host)
            await _audit(unit, project_id, host, "git_credential.remove", {}, by=by)

    async def find(self, project_id: UUID, host: str) -> StoredCredential | None:
        async with self._database.reading() as connection:
            return await store.find(connection, project_id, host)

    def opened(self, stored: StoredCredential) -> OpenCredential:
        """Raises `dependency_unavailable`."""
        shown = stored.shown
        try:
            token = self._require_keys().open(
                stored.sealed_token, project_id=shown.project_id, name=shown.host
            )
        except SealBroken:
            _log.warning("git_token_sealed", project=shown.project_id, host=shown.host)
            how = "it was sealed under another BERTH_SECRET_KEY: an owner sets it again"
            raise DependencyUnavailable(f"the credential for {shown.host}", how) from None
        return OpenCredential(username=shown.username, token=token)

    def _require_keys(self) -> GitKeys:
        if self._keys is None:
            how = (
                "set BERTH_SECRET_KEY_FILE of the control plane to a file with 32 random bytes in"
                " base64, as `openssl rand -base64 32` prints them"
            )
            raise DependencyUnavailable("the secret key that seals credentials", how)
        return self._keys


def _none(host: str) -> NotFound:
    return NotFound(Code.NOT_FOUND, f"this project has no git credential for {host}")


def _wrong(field: str, expected: str) -> BerthError:
    return BerthError(
        Code.VALIDATION, f"{field}: expected {expected}", field=field, expected=expected
    )


async def _audit(
    unit: Unit, project_id: UUID, host: str, action: str, detail: Mapping[str, object], *, by: UUID
) -> None:
    await audit.record(unit, project_id, actor=by, action=action, target=host, detail=detail)
