"""Makes the manager's parts from its settings; nothing runs yet."""

import asyncio
import os
import sys
from dataclasses import dataclass
from functools import partial
from typing import assert_never
from uuid import UUID

from chassis.client import ServiceClient
from chassis.settings import SettingsError
from contracts.relay import RelayRoutes
from executor_manager.containers.backend import ContainerBackend, Limits
from executor_manager.containers.docker_backend import DockerBackend
from executor_manager.containers.docker_configuration import DockerOptions
from executor_manager.containers.docker_disks import DiskOptions
from executor_manager.containers.docker_places import Volumes
from executor_manager.containers.docker_site import DockerSite
from executor_manager.containers.places import Owner
from executor_manager.containers.process import ProcessBackend
from executor_manager.containers.procfs import boot_id
from executor_manager.containers.program import Program
from executor_manager.metrics import ManagerMetrics
from executor_manager.services.activation import Activation, Patience
from executor_manager.services.agent_upstreams import load_upstreams
from executor_manager.services.agents import Ask, ask_container, ask_process
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.delivery import Delivery
from executor_manager.services.duties import Duties
from executor_manager.services.executors import Executors
from executor_manager.services.relay import Relay
from executor_manager.services.relay_process import ADMIN_SOCKET, RelayProcess
from executor_manager.services.retirement import Retirement
from executor_manager.services.startup import Startup
from executor_manager.services.state_directory import host_name
from executor_manager.services.warm_pool import WarmPool
from executor_manager.services.ways_out import WaysOut, ways_out
from executor_manager.services.workers import Workers
from executor_manager.settings import Settings

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared with, never bound
MIB = 1024 * 1024
EXECUTOR_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the services stand on."""

    metrics: ManagerMetrics
    backend: ContainerBackend
    client: ServiceClient
    control_plane: ControlPlane
    workers: Workers
    executors: Executors
    duties: Duties
    relay: Relay
    startup: Startup


def build_host(settings: Settings, manager_id: UUID) -> Host:
    metrics = ManagerMetrics()
    backend = build_backend(settings, manager_id)
    client = ServiceClient(
        settings.control_plane_url, key=settings.service_key, target="control_plane"
    )
    workers = Workers(settings.max_workers)
    executors = Executors()
    ways = ways_out(settings, load_upstreams(settings.agent_upstreams_file))
    relay = _relay(settings, workers, backend, ways)
    return Host(
        metrics=metrics,
        backend=backend,
        client=client,
        control_plane=ControlPlane(client, manager_id),
        workers=workers,
        executors=executors,
        duties=Duties(),
        relay=relay,
        startup=Startup(
            backend=backend,
            relay=relay,
            executors=executors,
            ways_out=ways,
            warm=WarmPool(
                backend=backend,
                workers=workers,
                metrics=metrics,
                boot_deadline=settings.activate_deadline_seconds,
                size=settings.warm_containers,
            ),
            metrics=metrics,
            deadline=settings.activate_deadline_seconds,
            default_limits=Limits(
                cpus=settings.default_cpus,
                memory_bytes=settings.default_memory_mib * MIB,
                disk_bytes=settings.default_disk_mib and settings.default_disk_mib * MIB,
                pids=settings.default_pids,
            ),
        ),
    )


def build_backend(settings: Settings, manager_id: UUID) -> ContainerBackend:
    match settings.backend:
        case "process" if settings.warm_containers:
            raise SettingsError(
                "BERTH_WARM_CONTAINERS should be 0 with the process backend, which has none:"
                " its executors are started for one session"
            )
        case "process":
            return ProcessBackend(settings.state_dir, build_program(settings))
        case "docker":
            return _docker(settings, manager_id)
        case _:
            assert_never(settings.backend)


def build_ask(settings: Settings, backend: ContainerBackend) -> Ask:
    if isinstance(backend, DockerBackend):
        return partial(ask_container, backend.probe, settings.executor_env_json)
    program = build_program(settings)
    user, group = settings.executor_uid, settings.executor_gid
    return partial(ask_process, program.argv[0], program.environment, user, group)


def build_program(settings: Settings) -> Program:
    """An executor's environment is made here, from nothing: what is ours does not leak into it."""
    own: dict[str, str] = {}
    if settings.executor_python is None:
        own["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return Program(
        argv=(str(settings.executor_python or sys.executable), "-m", "executor"),
        environment={
            "PATH": EXECUTOR_PATH,
            "LANG": "C.UTF-8",
            **own,
            "BERTH_TRACE_EXPORTER": settings.trace_exporter,
            **_environment(settings),
        },
        owner=Owner(settings.executor_uid, settings.executor_gid),
        log_bytes=settings.executor_log_bytes,
        sandbox=settings.sandbox,
        readable=settings.sandbox_readable,
        writable=settings.sandbox_writable,
    )


def own_url(settings: Settings) -> str:
    """Where we listen, as others name this host; empty where the port is any that is free."""
    if settings.port == 0:
        return ""
    host = host_name() if settings.host in EVERYWHERE else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _environment(settings: Settings) -> dict[str, str]:
    """Of an executor, wherever it runs."""
    return {
        "BERTH_LOG_LEVEL": settings.log_level,
        "BERTH_FAILPOINTS": settings.executor_failpoints,
        **settings.executor_env_json,
    }


def _docker(settings: Settings, manager_id: UUID) -> DockerBackend:
    sockets = settings.sockets_dir or settings.state_dir / "sockets"
    site = DockerSite(
        host=settings.docker_host,
        call_seconds=settings.docker_call_seconds,
        volumes=Volumes(settings.state_dir.absolute(), sockets.absolute()),
        state_host_dir=settings.state_host_dir,
        sockets_host_dir=settings.sockets_host_dir,
    )
    options = DockerOptions(
        manager_id=manager_id,
        image=settings.executor_image,
        images=settings.images,
        runtimes=settings.runtimes,
        boot_id=boot_id(),
        waived=settings.preflight_waived,
        environment=_environment(settings),
        tmp_mib=settings.tmp_mib,
        home_mib=settings.home_mib,
        log_mib=settings.container_log_mib,
    )
    disks = DiskOptions(helper=settings.volumes_socket, tmpfs_mib=settings.tmpfs_disk_mib)
    return DockerBackend(site, options, disks)


def build_activation(settings: Settings, host: Host) -> Activation:
    return Activation(
        workers=host.workers,
        startup=host.startup,
        control_plane=host.control_plane,
        metrics=host.metrics,
        patience=Patience(
            restarts=settings.restarts,
            backoff=settings.restart_backoff_seconds,
            healthy_after=settings.healthy_after_seconds,
        ),
        slots=asyncio.Semaphore(settings.activations_at_once),
    )


def build_retirement(settings: Settings, host: Host) -> Retirement:
    return Retirement(
        workers=host.workers,
        backend=host.backend,
        executors=host.executors,
        relay=host.relay,
        startup=host.startup,
        control_plane=host.control_plane,
        metrics=host.metrics,
        stop_grace=settings.stop_grace_seconds,
        supersede_deadline=settings.supersede_deadline_seconds,
    )


def build_delivery(host: Host, retirement: Retirement) -> Delivery:
    return Delivery(
        workers=host.workers,
        backend=host.backend,
        executors=host.executors,
        duties=host.duties,
        retirement=retirement,
    )


def _relay(settings: Settings, workers: Workers, backend: ContainerBackend, ways: WaysOut) -> Relay:
    """Raises `SettingsError`. One that is a service of its own has its admin socket in settings."""
    process = None
    if settings.relay_admin_socket is None:
        process = RelayProcess(
            settings.state_dir / "relay",
            wait_seconds=settings.relay_wait_seconds,
            tunnel_networks=settings.relay_tunnel_networks,
            log_level=settings.log_level,
        )
    return Relay(
        process=process,
        admin_socket=settings.relay_admin_socket or settings.state_dir / "relay" / ADMIN_SOCKET,
        routes=RelayRoutes(
            control_plane_url=settings.control_plane_url,
            object_store_url=settings.object_store_url,
        ),
        ways_out=ways,
        workers=workers,
        backend=backend,
    )
