"""Every service with what it needs, made in one place."""

from dataclasses import dataclass, fields

from chassis.clock import SystemClock
from chassis.objects import ObjectStore
from chassis.rates import RateLimiter
from control_plane.services.access import Access
from control_plane.services.apps import Apps
from control_plane.services.audit import Audit
from control_plane.services.claims import Claims
from control_plane.services.collection import Collection
from control_plane.services.differences import Differences
from control_plane.services.egress import Egress
from control_plane.services.events import Events
from control_plane.services.exports import Exports
from control_plane.services.fanout import Fanout
from control_plane.services.forks import Forks
from control_plane.services.git import Bounds, Git
from control_plane.services.git_credentials import GitCredentials
from control_plane.services.git_denials import GitDenials
from control_plane.services.git_remote import GitRemote
from control_plane.services.human_loop import HumanLoop
from control_plane.services.idempotency import Idempotency
from control_plane.services.imports import Imports
from control_plane.services.installation import Installation
from control_plane.services.intake import Intake
from control_plane.services.jobs import Jobs
from control_plane.services.keys import Keys
from control_plane.services.managers import Managers
from control_plane.services.manifests import Manifests
from control_plane.services.model_calls import ModelCalls
from control_plane.services.model_gateway import ModelGateway
from control_plane.services.model_upstreams import ModelUpstreams
from control_plane.services.project_file_search import ProjectFileSearch
from control_plane.services.project_file_views import ProjectFileViews
from control_plane.services.project_files import ProjectFiles
from control_plane.services.project_objects import ProjectObjects
from control_plane.services.project_uploads import ProjectUploads
from control_plane.services.projector import Projector
from control_plane.services.projects import Projects
from control_plane.services.quotas import Quotas
from control_plane.services.reconcile import Reconcile
from control_plane.services.reports import Reports
from control_plane.services.requests import Requests
from control_plane.services.rescue import Rescue
from control_plane.services.restore_plans import RestorePlans
from control_plane.services.rollbacks import Rollbacks
from control_plane.services.run_views import RunViews
from control_plane.services.runs import Runs
from control_plane.services.schema import Schema
from control_plane.services.sensitive import SensitiveNames
from control_plane.services.session_workers import SessionWorkers
from control_plane.services.sessions import Sessions
from control_plane.services.snapshots import Snapshots
from control_plane.services.streams import Streams
from control_plane.services.system import System
from control_plane.services.tasks import Tasks
from control_plane.services.tickets import Tickets
from control_plane.services.tools import Tools
from control_plane.services.transcripts import Transcripts
from control_plane.services.tree_exports import TreeExports
from control_plane.services.tree_imports import TreeImports
from control_plane.services.verifications import Verifications
from control_plane.services.verifying import Verifying
from control_plane.services.wakeups import Wakeups
from control_plane.services.workers import Workers
from control_plane.services.workspace_files import WorkspaceFiles
from control_plane.settings import Settings
from control_plane.store.database import Database
from control_plane.wiring_saved import build_files, build_saved
from control_plane.wiring_shared import Shared, build_shared

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
    collection: Collection
    diffs: Differences
    egress_policies: Egress
    git: Git
    git_credentials: GitCredentials
    events: Events
    exports: Exports
    fanout: Fanout
    forks: Forks
    human_loop: HumanLoop
    idempotency: Idempotency
    imports: Imports
    installation: Installation
    intake: Intake
    jobs: Jobs
    keys: Keys
    managers: Managers
    manifests: Manifests
    model_calls: ModelCalls
    model_gateway: ModelGateway
    model_upstreams: ModelUpstreams
    project_file_search: ProjectFileSearch
    project_file_views: ProjectFileViews
    project_files: ProjectFiles
    project_objects: ProjectObjects
    project_uploads: ProjectUploads
    projector: Projector
    projects: Projects
    quotas: Quotas
    reconcile: Reconcile
    reports: Reports
    requests: Requests
    rescue: Rescue
    restore_plans: RestorePlans
    rollbacks: Rollbacks
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
    tree_exports: TreeExports
    tree_imports: TreeImports
    verifications: Verifications
    verifying: Verifying
    workers: Workers
    workspace_files: WorkspaceFiles


def build_services(
    settings: Settings, database: Database, wakeups: Wakeups, objects: ObjectStore
) -> Services:
    policy, poll = settings.policy, settings.poll_seconds
    shared = build_shared(settings, database, wakeups)
    names = SensitiveNames(database, settings.sensitive_names)
    files = build_files(settings, database, objects)
    saved = build_saved(settings, database, wakeups, objects, (shared, files, names))
    return Services(
        **{one.name: getattr(shared, one.name) for one in fields(shared)},
        **{one.name: getattr(files, one.name) for one in fields(files)},
        **{one.name: getattr(saved, one.name) for one in fields(saved)},
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
        streams=Streams(database, shared.fanout, heartbeat_seconds=settings.sse_heartbeat_seconds),
        system=System(database),
        tasks=Tasks(database, idempotency=shared.idempotency, intake=shared.intake),
        tickets=Tickets(database, names),
        tools=Tools(database, wakeups, idempotency=shared.idempotency, poll_seconds=poll),
        transcripts=Transcripts(database),
        workers=Workers(database, policy),
    )


def _model_gateway(settings: Settings, shared: Shared) -> ModelGateway:
    return ModelGateway(
        shared.model_upstreams,
        shared.model_calls,
        seconds=settings.model_call_seconds,
        silence=settings.model_silence_seconds,
    )


def _git(settings: Settings, database: Database, shared: Shared) -> Git:
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
