"""Every service with what it needs, made in one place."""

from dataclasses import dataclass, fields

from chassis.clock import SystemClock
from chassis.objects import ObjectStore
from chassis.rates import RateLimiter
from control_plane.services.access import Access
from control_plane.services.apps import Apps
from control_plane.services.audit import Audit
from control_plane.services.claims import Claims
from control_plane.services.egress import Egress
from control_plane.services.events import Events
from control_plane.services.fanout import Fanout
from control_plane.services.git import Bounds, Git
from control_plane.services.git_credentials import GitCredentials
from control_plane.services.git_denials import GitDenials
from control_plane.services.git_remote import GitRemote
from control_plane.services.human_loop import HumanLoop
from control_plane.services.idempotency import Idempotency
from control_plane.services.installation import Installation
from control_plane.services.intake import Intake
from control_plane.services.jobs import Jobs
from control_plane.services.keys import Keys
from control_plane.services.managers import Managers
from control_plane.services.model_calls import ModelCalls
from control_plane.services.model_gateway import ModelGateway
from control_plane.services.model_upstreams import ModelUpstreams
from control_plane.services.projector import Projector
from control_plane.services.projects import Projects
from control_plane.services.quotas import Quotas
from control_plane.services.reconcile import Reconcile
from control_plane.services.reports import Reports
from control_plane.services.requests import Requests
from control_plane.services.rescue import Rescue
from control_plane.services.room import Room
from control_plane.services.run_views import RunViews
from control_plane.services.runs import Runs
from control_plane.services.schema import Schema
from control_plane.services.session_workers import SessionWorkers
from control_plane.services.sessions import Sessions
from control_plane.services.snapshots import Snapshots
from control_plane.services.streams import Streams
from control_plane.services.system import System
from control_plane.services.tasks import Tasks
from control_plane.services.tickets import Tickets
from control_plane.services.tools import Tools
from control_plane.services.transcripts import Transcripts
from control_plane.services.wakeups import Wakeups
from control_plane.services.workers import Workers
from control_plane.settings import Settings
from control_plane.store.database import Database

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Each is a dependency of handlers, by its field's name. None is called like a field of a body:
    what is wrong with such a field would be an error of ours.
    """

    access: Access
    apps: Apps
    audit: Audit
    claims: Claims
    egress_policies: Egress
    git: Git
    git_credentials: GitCredentials
    events: Events
    fanout: Fanout
    human_loop: HumanLoop
    idempotency: Idempotency
    installation: Installation
    intake: Intake
    jobs: Jobs
    keys: Keys
    managers: Managers
    model_calls: ModelCalls
    model_gateway: ModelGateway
    model_upstreams: ModelUpstreams
    projector: Projector
    projects: Projects
    quotas: Quotas
    reconcile: Reconcile
    reports: Reports
    requests: Requests
    rescue: Rescue
    run_views: RunViews
    runs: Runs
    schema: Schema
    session_workers: SessionWorkers
    sessions: Sessions
    snapshots: Snapshots
    streams: Streams
    system: System
    tasks: Tasks
    tickets: Tickets
    tools: Tools
    transcripts: Transcripts
    workers: Workers


def build_services(
    settings: Settings, database: Database, wakeups: Wakeups, objects: ObjectStore
) -> Services:
    policy, poll = settings.policy, settings.poll_seconds
    shared = _shared(settings, database, wakeups)
    return Services(
        **{one.name: getattr(shared, one.name) for one in fields(shared)},
        access=_access(settings, database),
        audit=Audit(database),
        claims=_claims(settings, database, wakeups),
        git=_git(settings, database, shared),
        events=Events(database),
        human_loop=HumanLoop(database),
        installation=Installation(database),
        jobs=_jobs(settings, database, shared.idempotency, shared.reconcile),
        keys=Keys(database),
        managers=Managers(database, wakeups, shared.rescue, settings),
        model_gateway=_model_gateway(settings, shared),
        projector=Projector(database),
        projects=Projects(database, idempotency=shared.idempotency),
        quotas=Quotas(database),
        reports=Reports(database, policy),
        requests=Requests(database),
        run_views=RunViews(database, wakeups, poll_seconds=poll),
        schema=Schema(database),
        session_workers=SessionWorkers(database),
        snapshots=Snapshots(database, objects),
        streams=Streams(database, shared.fanout, heartbeat_seconds=settings.sse_heartbeat_seconds),
        system=System(database),
        tasks=Tasks(database, idempotency=shared.idempotency, intake=shared.intake),
        tickets=Tickets(database),
        tools=Tools(database, wakeups, idempotency=shared.idempotency, poll_seconds=poll),
        transcripts=Transcripts(database),
        workers=Workers(database, policy),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
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


def _shared(settings: Settings, database: Database, wakeups: Wakeups) -> _Shared:
    runs = Runs(database, settings.policy)
    apps = Apps(database, default_agent=settings.default_agent)
    sessions = Sessions(database)
    idempotency = Idempotency(database)
    return _Shared(
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


def _model_gateway(settings: Settings, shared: _Shared) -> ModelGateway:
    return ModelGateway(
        shared.model_upstreams,
        shared.model_calls,
        seconds=settings.model_call_seconds,
        silence=settings.model_silence_seconds,
    )


def _git(settings: Settings, database: Database, shared: _Shared) -> Git:
    return Git(
        database,
        credentials=shared.git_credentials,
        remote=GitRemote(settings.named_git_hosts, silence=settings.git_silence_seconds),
        denials=GitDenials(shared.egress_policies),
        bounds=Bounds(
            seconds=settings.git_seconds,
            request_bytes=settings.git_request_mib * MIB,
            answer_bytes=settings.git_answer_mib * MIB,
        ),
    )


def _jobs(
    settings: Settings, database: Database, idempotency: Idempotency, reconcile: Reconcile
) -> Jobs:
    return Jobs(
        database,
        idempotency=idempotency,
        reconcile=reconcile,
        deadline=settings.job_deadline_seconds,
        save_overdue=settings.save_overdue_seconds,
    )


def _rescue(settings: Settings, database: Database) -> Rescue:
    return Rescue(
        database,
        settings.policy,
        park_after=settings.park_after_seconds,
        unoffered_after=settings.unoffered_after_seconds,
    )


def _access(settings: Settings, database: Database) -> Access:
    return Access(
        database,
        gateway_public_key=settings.gateway_public_key,
        service_keys={
            "gateway": settings.gateway_service_key,
            "manager": settings.manager_service_key,
        },
        worker_calls=RateLimiter(SystemClock()),
        worker_calls_per_minute=settings.worker_calls_per_minute,
    )


def _claims(settings: Settings, database: Database, wakeups: Wakeups) -> Claims:
    return Claims(
        database,
        wakeups,
        settings.policy,
        settings.timing,
        batch=settings.claim_batch,
        poll_seconds=settings.poll_seconds,
    )
