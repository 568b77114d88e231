"""Apps; which agent a session gets, and whether any manager can run it."""

from uuid import UUID

import msgspec

from chassis.errors import BerthError, NotFound
from contracts.containers import ContainerChoice
from contracts.errors import Code
from contracts.projects import App, AppList, CreateApp, PatchApp
from contracts.runs import RunLimits
from contracts.workers import WorkerLimits
from control_plane.domain.containers import choice_of, refused_by_all
from control_plane.domain.cursors import Window
from control_plane.services.egress import policy_of
from control_plane.services.runtime_manifests import manifest_of
from control_plane.store import apps as store
from control_plane.store import audit, containers, runtime_manifests
from control_plane.store.database import Database, Unit


class Apps:
    """What takes a unit happens in the transaction of what is to be made."""

    def __init__(self, database: Database, *, default_agent: str) -> None:
        self._database = database
        self._default_agent = default_agent

    async def create(self, unit: Unit, data: CreateApp, *, project_id: UUID) -> App:
        """Raises `validation_failed` for what it may not reach, and for paths that are none."""
        policy = policy_of(data.egress, within="egress") if data.egress else None
        if data.container is not None:
            await _require_granted(unit, choice_of(data.container))
        manifest = manifest_of(data.runtime_manifest) if data.runtime_manifest else None
        app_id = await store.insert(
            unit, data, project_id=project_id, policy=policy, manifest=manifest
        )
        return await store.get(unit.connection, app_id)

    async def patch(self, app_id: UUID, patch: PatchApp, *, by: UUID) -> App:
        async with self._database.unit() as unit:
            project_id = await store.lock(unit, app_id)
            if project_id is None:
                raise NotFound(Code.APP_NOT_FOUND, f"there is no app {app_id}")
            now = await store.get(unit.connection, app_id)
            changed = _patched(now, patch)
            if changed == now:
                return now
            if changed.container is not None and changed.container != now.container:
                await _require_granted(unit, changed.container)
            await store.update(unit, changed)
            await audit.record(
                unit,
                project_id,
                actor=by,
                action="app.patch",
                target=str(app_id),
                detail=msgspec.to_builtins(patch),
            )
            return await store.get(unit.connection, app_id)

    async def listed(self, projects: list[UUID], window: Window) -> AppList:
        async with self._database.reading() as connection:
            return await store.listed(connection, projects, window)

    async def agent_for(
        self, unit: Unit, *, project_id: UUID, app_id: UUID | None, asked: str | None
    ) -> str:
        """As asked, else the app's, else the default. Raises `app_not_found`."""
        if app_id is None:
            return asked or self._default_agent
        agent = await store.agent_of(unit.connection, project_id=project_id, app_id=app_id)
        if agent is None:
            raise NotFound(Code.APP_NOT_FOUND, f"there is no app {app_id}")
        return asked or agent

    async def require_agent(self, unit: Unit, agent: str) -> None:
        """Before anything is accepted; while no manager ever registered, a run waits for one.

        Raises `agent_not_found` for a name that no manager knows, `dependency_unavailable` when
        each one that knows it lacks something.
        """
        offers = await store.offers(unit.connection)
        if not offers:
            return
        told = [offer[agent] for offer in offers if agent in offer]
        if not told:
            known = sorted({name for offer in offers for name in offer})
            raise NotFound(
                Code.AGENT_NOT_FOUND,
                f"agent: {agent} is not one of {', '.join(known)}",
                known=known,
            )
        if all(told):
            raise BerthError(
                Code.DEPENDENCY_UNAVAILABLE,
                f"no executor can run {agent}: {told[0]}",
                missing=[{"what": f"agent {agent}", "how": how} for how in sorted(set(told))],
            )


def _patched(app: App, patch: PatchApp) -> App:
    limits, of_workers, egress = app.limits, app.worker_limits, app.egress
    container = app.container
    if patch.limits is not msgspec.UNSET:
        limits = patch.limits and msgspec.convert(patch.limits, RunLimits, from_attributes=True)
    if (asked := patch.worker_limits) is not msgspec.UNSET:
        of_workers = asked and msgspec.convert(asked, WorkerLimits, from_attributes=True)
    if patch.egress is not msgspec.UNSET:
        egress = policy_of(patch.egress, within="egress") if patch.egress else None
    if patch.container is not msgspec.UNSET:
        container = choice_of(patch.container) if patch.container else None
    manifest = app.runtime_manifest
    if (wanted := patch.runtime_manifest) is not msgspec.UNSET:
        manifest = manifest_of(wanted) if wanted else None
    return msgspec.structs.replace(
        app,
        name=app.name if patch.name is msgspec.UNSET else patch.name,
        agent=app.agent if patch.agent is msgspec.UNSET else patch.agent,
        limits=limits,
        worker_limits=of_workers,
        egress=egress,
        container=container if container != containers.UNSAID else None,
        runtime_manifest=manifest if manifest != runtime_manifests.UNSAID else None,
    )


async def _require_granted(unit: Unit, choice: ContainerChoice) -> None:
    """Raises `validation_failed`, with the rule, for what no manager grants; managers that come
    later may. Who starts it asks again.
    """
    offers = await containers.offers(unit.connection)
    if (refusal := refused_by_all(choice, offers.values())) is None:
        return
    field = f"container.{refusal.field}"
    raise BerthError(
        Code.VALIDATION,
        f"{field}: refused by the rule {refusal.rule}: {refusal.detail}",
        field=field,
        expected=refusal.detail,
        rule=refusal.rule,
    )
