"""Model upstreams of projects: set by administrators, chosen by the model that a call names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from chassis.errors import BerthError, DependencyUnavailable, NotFound
from chassis.logs import get_logger
from contracts.errors import Code
from contracts.models import ModelUpstream, ModelUpstreamList, PutModelUpstream, WireFormat
from control_plane.domain.model_hosts import ModelHosts, WrongUrl, origin_of, plain
from control_plane.domain.model_keys import ModelKeys, SealBroken
from control_plane.domain.model_requests import PATHS
from control_plane.store import audit
from control_plane.store import model_upstreams as store
from control_plane.store.database import Database, Unit
from control_plane.store.model_upstreams import NewUpstream, StoredUpstream

MODEL_SHOWN = 200

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Where a call goes."""

    name: str
    url: str
    auth: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    model: str
    upstream: ModelUpstream


class ModelUpstreams:
    """`keys` is None where the deployment has no secret key: then no key can be set or used."""

    def __init__(self, database: Database, *, keys: ModelKeys | None, hosts: ModelHosts) -> None:
        self._database = database
        self._keys = keys
        self._hosts = hosts

    async def listed(self, project_id: UUID) -> ModelUpstreamList:
        async with self._database.reading() as connection:
            found = await store.listed(connection, project_id)
        return ModelUpstreamList(items=[one.shown for one in found])

    async def put(
        self, project_id: UUID, name: str, data: PutModelUpstream, *, by: UUID
    ) -> ModelUpstream:
        """Raises `validation_failed` that names the field; audited without the key."""
        url = self._url(data.url)
        async with self._database.unit() as unit:
            former = await store.lock(unit, project_id, name)
            new = NewUpstream(
                project_id=project_id,
                name=name,
                url=url,
                formats=list(dict.fromkeys(data.formats)),
                models=list(dict.fromkeys(data.models)),
                auth=data.auth,
                sealed_key=self._sealed(project_id, name, url, data.key, former),
            )
            done = await store.put(unit, new)
            detail = {
                "url": url,
                "formats": new.formats,
                "models": new.models,
                "auth": new.auth,
                "key_changed": data.key is not None,
            }
            await _audit(unit, project_id, name, "model_upstream.put", detail, by=by)
        return done

    async def remove(self, project_id: UUID, name: str, *, by: UUID) -> None:
        async with self._database.unit() as unit:
            if not await store.remove(unit, project_id, name):
                raise NotFound(Code.NOT_FOUND, f"this project has no model upstream {name}")
            await _audit(unit, project_id, name, "model_upstream.remove", {}, by=by)

    async def offered(self, project_id: UUID, wire_format: WireFormat | None) -> list[Offered]:
        """Each model once, the first one first."""
        async with self._database.reading() as connection:
            found = await store.listed(connection, project_id)
        offers: dict[str, Offered] = {}
        for upstream in self._usable(found, wire_format):
            for model in upstream.shown.models:
                offers.setdefault(model, Offered(model=model, upstream=upstream.shown))
        return list(offers.values())

    async def choose(self, project_id: UUID, wire_format: WireFormat, model: str) -> Chosen:
        """The first that offers it. Raises `not_found` that says what is offered."""
        async with self._database.reading() as connection:
            found = await store.listed(connection, project_id)
        usable = self._usable(found, wire_format)
        for upstream in usable:
            if model in upstream.shown.models:
                return self._opened(upstream)
        raise NotFound(Code.NOT_FOUND, _not_offered(wire_format, model, usable))

    def _usable(
        self, found: Iterable[StoredUpstream], wire_format: WireFormat | None
    ) -> list[StoredUpstream]:
        """The administrator may have taken a host back since it was set."""
        return [
            one
            for one in found
            if (wire_format is None or wire_format in one.shown.formats)
            and self._hosts.allows(one.shown.url)
        ]

    def _url(self, url: str) -> str:
        try:
            plain_url = plain(url)
        except WrongUrl as error:
            raise _wrong("url", error.expected) from error
        if not self._hosts.allows(plain_url):
            raise _wrong(
                "url", f"a host that BERTH_MODEL_HOSTS of the control plane allows: {self._hosts}"
            )
        return plain_url

    def _sealed(
        self,
        project_id: UUID,
        name: str,
        url: str,
        key: str | None,
        former: StoredUpstream | None,
    ) -> bytes:
        if key is None:
            return _kept(former, url)
        if not all("\x21" <= character <= "\x7e" for character in key):
            raise _wrong("key", "visible ASCII characters only: is there a line end in it?")
        return self._require_keys().seal(key, project_id=project_id, name=name)

    def _opened(self, upstream: StoredUpstream) -> Chosen:
        shown = upstream.shown
        keys = self._require_keys()
        try:
            key = keys.open(upstream.sealed_key, project_id=shown.project_id, name=shown.name)
        except SealBroken:
            _log.warning("model_key_sealed", project=shown.project_id, upstream=shown.name)
            how = "it was sealed under another BERTH_SECRET_KEY: an administrator sets it again"
            raise DependencyUnavailable(f"the key of the upstream {shown.name}", how) from None
        return Chosen(name=shown.name, url=shown.url, auth=shown.auth, key=key)

    def _require_keys(self) -> ModelKeys:
        if self._keys is None:
            how = (
                "set BERTH_SECRET_KEY_FILE of the control plane to a file with 32 random bytes in"
                " base64, as `openssl rand -base64 32` prints them"
            )
            raise DependencyUnavailable("the secret key that seals providers' keys", how)
        return self._keys


def _kept(former: StoredUpstream | None, url: str) -> bytes:
    if former is None:
        raise _wrong("key", "the provider's key: this upstream is new")
    if origin_of(former.shown.url) != origin_of(url):
        raise _wrong(
            "key", "the provider's key: it is not sent to another host than it was set for"
        )
    return former.sealed_key


def _not_offered(wire_format: WireFormat, model: str, usable: list[StoredUpstream]) -> str:
    path, model = PATHS[wire_format], model[:MODEL_SHOWN]
    if not usable:
        return (
            f"this project has no upstream for {path}: an administrator adds one with"
            f" `berth models set NAME --upstream URL --format {wire_format} --model {model}`"
        )
    offered = list(dict.fromkeys(name for one in usable for name in one.shown.models))
    return f"the model {model} is not offered for {path}; offered: {', '.join(offered)}"


def _wrong(field: str, expected: str) -> BerthError:
    return BerthError(
        Code.VALIDATION, f"{field}: expected {expected}", field=field, expected=expected
    )


async def _audit(
    unit: Unit, project_id: UUID, name: str, action: str, detail: Mapping[str, object], *, by: UUID
) -> None:
    await audit.record(unit, project_id, actor=by, action=action, target=name, detail=detail)
