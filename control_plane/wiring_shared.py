"""Services that others are made of."""

from dataclasses import dataclass

from control_plane.services.apps import Apps
from control_plane.services.egress import Egress
from control_plane.services.fanout import Fanout
from control_plane.services.git_credentials import GitCredentials
from control_plane.services.idempotency import Idempotency
from control_plane.services.intake import Intake
from control_plane.services.model_calls import ModelCalls
from control_plane.services.model_upstreams import ModelUpstreams
from control_plane.services.reconcile import Reconcile
from control_plane.services.rescue import Rescue
from control_plane.services.room import Room
from control_plane.services.runs import Runs
from control_plane.services.sessions import Sessions
from control_plane.services.wakeups import Wakeups
from control_plane.settings import Settings
from control_plane.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Services that others are made of; each is a field of `Services` too."""

    apps: Apps
    egress_policies: Egress
    fanout: Fanout
    git_credentials: GitCredentials
    idempotency: Idempotency
    intake: Intake
    model_calls: ModelCalls
    model_upstreams: ModelUpstreams
    reconcile: Reconcile
    rescue: Rescue
    runs: Runs
    sessions: Sessions


def build_shared(settings: Settings, database: Database, wakeups: Wakeups) -> Shared:
    runs = Runs(database, settings.policy)
    apps = Apps(database, default_agent=settings.default_agent)
    sessions = Sessions(database)
    idempotency = Idempotency(database)
    return Shared(
        apps=apps,
        egress_policies=Egress(database),
        git_credentials=GitCredentials(database, keys=settings.git_keys),
        fanout=Fanout(database, wakeups, poll_seconds=settings.poll_seconds),
        idempotency=idempotency,
        intake=Intake(
            idempotency=idempotency,
            apps=apps,
            sessions=sessions,
            line=runs,
            room=Room(settings.wait_queue_limit),
        ),
        model_calls=ModelCalls(database),
        model_upstreams=ModelUpstreams(
            database, keys=settings.model_keys, hosts=settings.allowed_model_hosts
        ),
        reconcile=Reconcile(database, settings.policy, save_overdue=settings.save_overdue_seconds),
        rescue=_rescue(settings, database),
        runs=runs,
        sessions=sessions,
    )


def _rescue(settings: Settings, database: Database) -> Rescue:
    return Rescue(
        database,
        settings.policy,
        park_after=settings.park_after_seconds,
        unoffered_after=settings.unoffered_after_seconds,
    )
