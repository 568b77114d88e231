"""What docker-compose.yml promises, read from the file itself: no engine is needed."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.deployment import Settings, shares
from cli.settings import search_path

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
MANAGER = ROOT / "deploy" / "compose.manager.yml"
SOCKET = "/var/run/docker.sock"
CAPABILITIES = {
    "init": {"CHOWN", "DAC_OVERRIDE", "FOWNER"},
    "postgres": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
    "executor-manager": {"CHOWN", "DAC_OVERRIDE", "FOWNER"},
    "volumes": {"MKNOD"},
}
ONCE = {"init", "migrate", "cli"}


def services(*files: Path, **environment: str) -> dict[str, dict[str, Any]]:
    compose = Path(sys.executable).with_name("docker-compose")
    named = [word for file in files for word in ("-f", str(file))]
    shown = subprocess.run(
        [str(compose), *named, "--profile", "tools", "config", "--format", "json"],
        env={"PATH": search_path(), "HOME": str(ROOT), **environment},
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return json.loads(shown.stdout)["services"]


@pytest.fixture(scope="module")
def composed() -> dict[str, dict[str, Any]]:
    return services(COMPOSE)


@pytest.fixture(scope="module", params=[COMPOSE, MANAGER], ids=["whole", "manager"])
def every(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    needed = {"BERTH_CONTROL_PLANE_URL": "http://a", "BERTH_OBJECT_STORE_URL": "http://b"}
    return services(request.param, **needed, BERTH_ADVERTISE_URL="http://c")


def mounts(service: dict[str, Any]) -> dict[str, str]:
    return {one["target"]: one["source"] for one in service.get("volumes", [])}


def test_services__long_running_ones_say_whether_they_are_well(
    every: dict[str, dict[str, Any]],
) -> None:
    for name, service in every.items():
        once = service.get("restart") == "no"
        assert once == (name in ONCE), name
        assert ("healthcheck" in service) != once, name


def test_services__have_no_capability_but_those_that_are_named(
    every: dict[str, dict[str, Any]],
) -> None:
    for name, service in every.items():
        assert service["cap_drop"] == ["ALL"], name
        assert set(service.get("cap_add", [])) == CAPABILITIES.get(name, set()), name
        assert service["security_opt"] == ["no-new-privileges"], name
        assert not service.get("privileged"), name
        assert not service.get("pid"), name


def test_volumes__may_open_loop_devices_and_nothing_else(
    every: dict[str, dict[str, Any]],
) -> None:
    for name, service in every.items():
        rules = ["b 7:* rwm", "c 10:237 rwm"] if name == "volumes" else []
        assert service.get("device_cgroup_rules", []) == rules, name
        assert not service.get("devices"), name
    helper = every["volumes"]
    assert helper["network_mode"] == "none"
    assert set(mounts(helper)) == {"/berth/state"}


def test_manager__what_can_be_set_on_the_first_host_can_on_another(
    composed: dict[str, dict[str, Any]],
) -> None:
    another = services(
        MANAGER,
        BERTH_CONTROL_PLANE_URL="http://a",
        BERTH_OBJECT_STORE_URL="http://b",
        BERTH_ADVERTISE_URL="http://c",
    )
    for name in ("executor-manager", "relay", "volumes"):
        assert another[name]["environment"].keys() == composed[name]["environment"].keys(), name


def test_services__are_bounded(every: dict[str, dict[str, Any]]) -> None:
    for name, service in every.items():
        assert service["pids_limit"], name
        assert service["mem_limit"], name
        assert service["logging"]["options"]["max-size"], name


def test_services__only_the_manager_has_the_engine(every: dict[str, dict[str, Any]]) -> None:
    assert {name for name, one in every.items() if SOCKET in mounts(one)} == {"executor-manager"}


def test_relay__has_sockets_and_credentials_alone(every: dict[str, dict[str, Any]]) -> None:
    assert set(mounts(every["relay"]).values()) == {"sockets", "relay-credentials"}
    assert every["relay"]["read_only"]
    assert every["relay"]["group_add"] == ["10001"]


def test_environments__hold_no_secret(every: dict[str, dict[str, Any]]) -> None:
    secret = re.compile(r"KEY|PASSWORD|SECRET|TOKEN|DATABASE_URL")
    for name, service in every.items():
        for variable, value in (service.get("environment") or {}).items():
            assert not secret.search(variable) or variable.endswith("_FILE"), (name, variable)
            assert "@" not in str(value), (name, variable)


def test_secrets__each_service_has_a_volume_of_its_own(
    composed: dict[str, dict[str, Any]],
) -> None:
    users: dict[str, set[str]] = {}
    for name, service in composed.items():
        if name != "init":
            for source in mounts(service).values():
                users.setdefault(source, set()).add(name)
    of_secrets = {source: names for source, names in users.items() if source.startswith("secrets")}
    # migrations speak to the database and the store as the control plane does
    assert of_secrets.pop("secrets-control-plane") == {"control-plane", "migrate"}
    assert of_secrets == {f"secrets-{name}": {name} for name in shared() - {"control-plane"}}
    assert "secrets" not in users


def test_secrets__what_is_named_is_handed_out(composed: dict[str, dict[str, Any]]) -> None:
    given = {share.service: share.names for share in shares(Settings())}
    for name, service in composed.items():
        owner = "control-plane" if name == "migrate" else name
        for value in (service.get("environment") or {}).values():
            if str(value).startswith("/secrets/"):
                assert Path(value).name in given[owner], (name, value)


def shared() -> set[str]:
    return {share.service for share in shares(Settings())}


def test_networks__postgres_and_the_store_are_apart(composed: dict[str, dict[str, Any]]) -> None:
    def on(network: str) -> set[str]:
        return {name for name, one in composed.items() if network in (one.get("networks") or {})}

    # "front": migrations, for stores that run elsewhere
    assert on("data") == {"postgres", "migrate", "control-plane", "cli"}
    assert on("store") == {"s3", "migrate", "control-plane", "relay"}
    assert {name for name, one in composed.items() if one.get("ports")} == {"gateway"}


@pytest.mark.parametrize("file", [COMPOSE, MANAGER], ids=["whole", "manager"])
def test_file__uses_what_every_compose_understands(file: Path) -> None:
    """Compose 1.29 refuses some of these and silently gets others wrong."""
    text = file.read_text()
    for word in ("name", "version", "include", "configs", "secrets"):
        assert not re.search(rf"^{word}:", text, re.MULTILINE), word
    assert not re.search(r"\$\{\w+:?[+]", text)
    assert not re.search(r"\$\{[^}]*\$\{", text)
    for word in (
        "start_interval", "dockerfile_inline", "additional_contexts", "create_host_path", "!reset",
        "container_name", "gpus", "required:",
    ):  # fmt: skip
        assert word not in text, word
