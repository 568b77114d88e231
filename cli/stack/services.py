"""Our services' settings in an embedded stack: addresses, and files that hold their secrets."""

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from cli.embedded.object_store import BUCKET, REGION
from cli.embedded.ports import Ports
from cli.embedded.runtime import Runtime, own_runtime
from cli.embedded.state import StateDirectory
from cli.stack.infrastructure import ObjectStorePart, PostgresPart
from cli.stack.options import StackOptions
from cli.stack.service import OwnService, ServiceConfig

DRAIN_WITHIN = 60.0
"""Seconds, for saving all workspaces at a stop."""

DEFAULTS = {
    "executor-manager": {
        "BERTH_DRAIN_ON_STOP": "true",
        "BERTH_DRAIN_DEADLINE_SECONDS": f"{DRAIN_WITHIN:g}",
    },
    "gateway": {"BERTH_GRACEFUL_SECONDS": "5"},
}
"""Unlike the services' own; can be overridden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What the services' settings are made from."""

    state: StateDirectory
    ports: Ports
    options: StackOptions
    runtime: Runtime
    """For executors."""
    postgres: PostgresPart
    object_store: ObjectStorePart


def control_plane(wiring: Wiring) -> OwnService:
    config = ServiceConfig(
        name="control-plane",
        module="control_plane",
        env=lambda: _own(wiring, "control-plane", control_plane_env(wiring)),
    )
    return OwnService(config, wiring.state, wiring.ports)


def control_plane_env(wiring: Wiring) -> dict[str, str]:
    secrets = wiring.state.secrets
    _, public = secrets.signing_key("gateway")
    return {
        "BERTH_DATABASE_URL_FILE": str(wiring.postgres.url_file),
        "BERTH_OBJECT_STORE_URL": wiring.object_store.address,
        "BERTH_OBJECT_STORE_BUCKET": BUCKET,
        "BERTH_OBJECT_STORE_REGION": REGION,
        "BERTH_OBJECT_STORE_ACCESS_KEY_FILE": str(wiring.object_store.access_key),
        "BERTH_OBJECT_STORE_SECRET_KEY_FILE": str(wiring.object_store.secret_key),
        "BERTH_GATEWAY_PUBLIC_KEY_FILE": str(public),
        "BERTH_GATEWAY_SERVICE_KEY_FILE": str(secrets.service_key("gateway")),
        "BERTH_MANAGER_SERVICE_KEY_FILE": str(secrets.service_key("manager")),
        "BERTH_SECRET_KEY_FILE": str(secrets.sealing_key("secret-key")),
    }


def executor_manager(wiring: Wiring, control_plane: OwnService) -> OwnService:
    def env() -> dict[str, str]:
        return _own(
            wiring,
            "executor-manager",
            {
                "BERTH_STATE_DIR": str(wiring.state.of_service("manager")),
                "BERTH_CONTROL_PLANE_URL": control_plane.url,
                "BERTH_OBJECT_STORE_URL": wiring.object_store.address,
                "BERTH_SERVICE_KEY_FILE": str(wiring.state.secrets.service_key("manager")),
                **_executors(wiring),
            },
        )

    config = ServiceConfig(
        name="executor-manager",
        module="executor_manager",
        env=env,
        stop_within=DRAIN_WITHIN + 30.0,
        # not asked, or it would drain: its workers go on, and the next manager adopts them
        ends_former=signal.SIGKILL,
    )
    return OwnService(config, wiring.state, wiring.ports)


def gateway(wiring: Wiring, control_plane: OwnService) -> OwnService:
    def env() -> dict[str, str]:
        private, _ = wiring.state.secrets.signing_key("gateway")
        return _own(
            wiring,
            "gateway",
            {
                "BERTH_CONTROL_PLANE_URL": control_plane.url,
                "BERTH_SIGNING_KEY_FILE": str(private),
                "BERTH_SERVICE_KEY_FILE": str(wiring.state.secrets.service_key("gateway")),
            },
        )

    config = ServiceConfig(
        name="gateway", module="gateway", env=env, port=wiring.options.port, stop_within=10.0
    )
    return OwnService(config, wiring.state, wiring.ports)


def _executors(wiring: Wiring) -> dict[str, str]:
    """Which interpreter runs them, as whom; nothing of it is secret."""
    runtime = wiring.runtime
    settings = wiring.options.overrides.get("executor", {})
    env = {
        **runtime.env,
        "BERTH_AGENT_PATH": wiring.options.agent_path,
        **_variables(settings),
    }
    found = {
        "BERTH_EXECUTOR_PYTHON": str(runtime.python),
        "BERTH_EXECUTOR_ENV_JSON": json.dumps(env),
    }
    if runtime.user is not None and os.geteuid() == 0:
        found["BERTH_EXECUTOR_UID"] = str(runtime.user.uid)
        found["BERTH_EXECUTOR_GID"] = str(runtime.user.gid)
    return found


def own_env() -> dict[str, str]:
    """Where our packages are; unlike an executor, a service may write its bytecode."""
    return {
        name: value
        for name, value in own_runtime().env.items()
        if name != "PYTHONDONTWRITEBYTECODE"
    }


def _own(wiring: Wiring, name: str, settings: Mapping[str, str]) -> dict[str, str]:
    """What we set cannot be overridden: it is what holds the parts together."""
    given = _variables(wiring.options.overrides.get(name, {}))
    return {**own_env(), **DEFAULTS.get(name, {}), **given, **settings}


def _variables(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"BERTH_{name.upper()}": value for name, value in settings.items()}
