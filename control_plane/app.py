"""The control plane in one piece: pool, services (`wiring`), routes, loops."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.di import Provide
from litestar.exceptions import ValidationException
from litestar.types import Receive, Scope, Send

from chassis.app import build_litestar
from chassis.failpoints import arm_from
from chassis.loop import Loop
from chassis.objects import ObjectStore
from chassis.store.check import QUICK, require_store
from control_plane.loops.collection import collection_loops
from control_plane.loops.jobs import job_loops
from control_plane.loops.model_calls import model_call_loops
from control_plane.loops.project_objects import project_object_loops
from control_plane.loops.projector import ProjectorLoop
from control_plane.loops.reconcile import reconcile_loops
from control_plane.loops.rescue import rescue_loops
from control_plane.loops.verifications import verification_loops
from control_plane.metrics import ControlPlaneMetrics
from control_plane.openapi import document
from control_plane.routes.answers import provide_answers
from control_plane.routes.apps import APP_ROUTES
from control_plane.routes.archives import ARCHIVE_ROUTES
from control_plane.routes.audit import AUDIT_ROUTES
from control_plane.routes.branches import BRANCH_ROUTES
from control_plane.routes.callbacks import CALLBACK_ROUTES
from control_plane.routes.differences import DIFFERENCE_ROUTES
from control_plane.routes.egress import EGRESS_ROUTES
from control_plane.routes.errors import DATABASE_ERRORS
from control_plane.routes.events import EVENT_ROUTES
from control_plane.routes.git import GIT_ROUTES
from control_plane.routes.git_credentials import GIT_CREDENTIAL_ROUTES
from control_plane.routes.human_loop import HUMAN_LOOP_ROUTES
from control_plane.routes.installation import INSTALLATION_ROUTES
from control_plane.routes.jobs import JOB_ROUTES
from control_plane.routes.keys import KEY_ROUTES
from control_plane.routes.managers import MANAGER_ROUTES
from control_plane.routes.messages import MESSAGE_ROUTES
from control_plane.routes.model_gateway import MODEL_GATEWAY_ROUTES
from control_plane.routes.models import MODEL_ROUTES
from control_plane.routes.objects import OBJECT_ROUTES
from control_plane.routes.openapi import OPENAPI_ROUTES
from control_plane.routes.policies import PROVIDED, guard
from control_plane.routes.project_file_rules import PROJECT_FILE_RULE_ROUTES
from control_plane.routes.project_files import PROJECT_FILE_ROUTES
from control_plane.routes.projects import PROJECT_ROUTES
from control_plane.routes.quotas import QUOTA_ROUTES
from control_plane.routes.refusals import tell_refusal
from control_plane.routes.runs import RUN_ROUTES
from control_plane.routes.session_workers import SESSION_WORKER_ROUTES
from control_plane.routes.sessions import SESSION_ROUTES
from control_plane.routes.snapshots import SNAPSHOT_ROUTES
from control_plane.routes.streams import STREAM_ROUTES
from control_plane.routes.system import SYSTEM_ROUTES
from control_plane.routes.tasks import TASK_ROUTES
from control_plane.routes.tickets import TICKET_ROUTES
from control_plane.routes.tools import TOOL_ROUTES
from control_plane.routes.tools_mcp import MCP_ROUTES
from control_plane.routes.transcripts import TRANSCRIPT_ROUTES
from control_plane.routes.trees import TREE_ROUTES
from control_plane.routes.verifications import VERIFICATION_ROUTES
from control_plane.routes.workspace_files import WORKSPACE_FILE_ROUTES
from control_plane.services.wakeups import Wakeups
from control_plane.settings import Settings
from control_plane.store.database import Database, open_pool
from control_plane.wiring import Services, build_services

EXPIRY_SECONDS = 600.0

ROUTES = [
    *SESSION_ROUTES,
    *MESSAGE_ROUTES,
    *MODEL_ROUTES,
    *RUN_ROUTES,
    *STREAM_ROUTES,
    *EVENT_ROUTES,
    *GIT_CREDENTIAL_ROUTES,
    *JOB_ROUTES,
    *KEY_ROUTES,
    *APP_ROUTES,
    *ARCHIVE_ROUTES,
    *AUDIT_ROUTES,
    *BRANCH_ROUTES,
    *DIFFERENCE_ROUTES,
    *EGRESS_ROUTES,
    *HUMAN_LOOP_ROUTES,
    *OBJECT_ROUTES,
    *PROJECT_ROUTES,
    *PROJECT_FILE_ROUTES,
    *PROJECT_FILE_RULE_ROUTES,
    *QUOTA_ROUTES,
    *INSTALLATION_ROUTES,
    *SESSION_WORKER_ROUTES,
    *SNAPSHOT_ROUTES,
    *SYSTEM_ROUTES,
    *TASK_ROUTES,
    *TOOL_ROUTES,
    *OPENAPI_ROUTES,
    *MANAGER_ROUTES,
    *CALLBACK_ROUTES,
    *MCP_ROUTES,
    *TICKET_ROUTES,
    *TRANSCRIPT_ROUTES,
    *TREE_ROUTES,
    *WORKSPACE_FILE_ROUTES,
    *VERIFICATION_ROUTES,
]


class ControlPlane:
    """An ASGI app. `stop` is for the moment when a stop was asked for: streams say good-bye."""

    def __init__(self, settings: Settings, *, store_proven: bool) -> None:
        self._settings = settings
        self._store_proven = store_proven
        self._metrics = ControlPlaneMetrics()
        self._services: Services | None = None
        self._wakeups: Wakeups | None = None
        self._objects: ObjectStore | None = None
        arm_from(settings.failpoints)
        self.litestar = build_litestar(
            service="control_plane",
            route_handlers=[*ROUTES, *MODEL_GATEWAY_ROUTES, *GIT_ROUTES],
            checks={"database": self._check_database, "object_store": self._check_objects},
            metrics=self._metrics,
            lifespan=[self._running],
            dependencies=_dependencies(),
            guards=[guard],
            error_handlers={**DATABASE_ERRORS, ValidationException: tell_refusal},
            body_limit=settings.max_body_bytes,
            cors_origins=settings.cors_origins,
            debug=settings.debug,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.litestar(scope, receive, send)

    @property
    def services(self) -> Services:
        if self._services is None:
            raise RuntimeError("the control plane is not running")
        return self._services

    def stop(self) -> None:
        if self._services is not None and self._wakeups is not None:
            self._services.fanout.end()
            self._wakeups.end_waits()

    @asynccontextmanager
    async def _running(self, app: Litestar) -> AsyncGenerator[None]:
        settings = self._settings
        async with AsyncExitStack() as stack:
            wakeups = Wakeups(settings.database_url)
            pool = await open_pool(
                settings.database_url, size=settings.pool_size, application="berth-control-plane"
            )
            database = Database(pool, wakeups)
            stack.push_async_callback(database.close)
            objects = settings.object_store.open()
            stack.callback(objects.close)
            services = build_services(settings, database, wakeups, objects)
            stack.push_async_callback(services.model_gateway.stop)
            stack.push_async_callback(services.git.stop)
            wakeups.start()
            stack.push_async_callback(wakeups.stop)
            services.reports.start()
            stack.push_async_callback(services.reports.stop)
            services.fanout.start()
            stack.push_async_callback(services.fanout.stop)
            for loop in self._loops(services, wakeups):
                loop.start()
                stack.push_async_callback(loop.stop)
            self._services, self._objects, self._wakeups = services, objects, wakeups
            app.state.services, app.state.access = services, services.access
            app.state.openapi = openapi_json()
            yield

    def _loops(self, services: Services, wakeups: Wakeups) -> list[Loop | ProjectorLoop]:
        if not self._settings.loops:
            return []
        poll = self._settings.poll_seconds
        return [
            ProjectorLoop(services.projector, wakeups, self._metrics, interval=poll),
            Loop("idempotency", EXPIRY_SECONDS, services.idempotency.expire, self._metrics),
            Loop("commands", EXPIRY_SECONDS, services.managers.forget_commands, self._metrics),
            Loop("quotas", poll, services.quotas.make_room, self._metrics),
            Loop("tickets", EXPIRY_SECONDS, services.tickets.expire, self._metrics),
            *rescue_loops(services.rescue, self._settings, self._metrics),
            *reconcile_loops(services.reconcile, self._settings, self._metrics),
            *collection_loops(services.collection, self._metrics),
            *job_loops(services.jobs, self._settings, self._metrics),
            *model_call_loops(services.model_calls, self._metrics),
            *verification_loops(services.verifying, self._settings, self._metrics),
            *project_object_loops(services.project_objects, self._metrics),
        ]

    async def _check_database(self) -> None:
        await self.services.schema.check()

    async def _check_objects(self) -> None:
        if self._objects is not None:
            await self._objects.check()
        if not self._store_proven:
            await require_store(self._settings.object_store, QUICK)
            self._store_proven = True


def build_app(settings: Settings, *, store_proven: bool = False) -> ControlPlane:
    """`store_proven`: `preflight` found it fit. Otherwise it is tried until it is, by `/readyz`."""
    return ControlPlane(settings, store_proven=store_proven)


def openapi_json() -> bytes:
    """The API's description, indented: it is committed, and read by people."""
    return msgspec.json.format(msgspec.json.encode(document(ROUTES)), indent=1) + b"\n"


def _dependencies() -> dict[str, Provide]:
    """What the guard found out, and the services."""
    services = {field.name: _service(field.name) for field in fields(Services)}
    return {**services, **PROVIDED, "answers": Provide(provide_answers)}


def _service(name: str) -> Provide:
    async def provide(request: Request[Any, Any, Any]) -> Any:  # noqa: ANN401 # any service
        return getattr(request.app.state.services, name)

    return Provide(provide)
