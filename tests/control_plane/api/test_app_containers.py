"""What an app may say of its sessions' containers, and what no body may: refused with the rule."""

from typing import Any

import msgspec
import pytest

from contracts.containers import ContainerOffer
from tests.factories import make_session, register_manager
from tests.fixtures.control_plane import Caller, Plane

IMAGE = "team/data:2"
OFFER = ContainerOffer(images=["berth-executor:latest", IMAGE], runtimes=["runsc"], untrusted=[])


async def make_app(owner: Caller, name: str = "a", **container: Any) -> Any:
    body = {"name": name, "agent": "scripted", "container": container or None}
    return await owner.http.post("/api/v1/apps", json=body)


async def offer(plane: Plane, offered: ContainerOffer) -> None:
    manager = await register_manager(plane.connection, {"scripted": ""})
    await plane.connection.execute(
        "UPDATE managers SET containers = $2::jsonb WHERE id = $1",
        manager,
        msgspec.json.encode(offered).decode(),
    )


async def test_container__is_kept_changed_and_taken_away(plane: Plane, owner: Caller) -> None:
    await offer(plane, OFFER)
    made = await make_app(owner, image=IMAGE, tier="untrusted")
    assert made.status_code == 201, made.text
    app = made.json()
    assert app["container"] == {"image": IMAGE, "runtime": "", "tier": "untrusted"}
    path = f"/api/v1/apps/{app['id']}"
    assert (await owner.http.patch(path, json={"name": "b"})).json()["container"] == app[
        "container"
    ]
    changed = await owner.http.patch(path, json={"container": {"runtime": "runsc"}})
    wanted = {"image": "", "runtime": "runsc", "tier": "trusted"}
    assert changed.json()["container"] == wanted
    (listed,) = (await owner.http.get("/api/v1/apps")).json()["items"]
    assert listed["container"] == wanted
    for body in ({"container": None}, {"container": {}}):
        await owner.http.patch(path, json={"container": {"runtime": "runsc"}})
        assert (await owner.http.patch(path, json=body)).json()["container"] is None


async def test_container__before_any_manager_came_is_taken(owner: Caller) -> None:
    assert (await make_app(owner, image=IMAGE)).status_code == 201


@pytest.mark.parametrize(
    ("container", "rule", "words"),
    [
        (
            {"image": "evil:1"},
            "image_not_allowed",
            f"allowed: berth-executor:latest, {IMAGE}",
        ),
        ({"runtime": "runc"}, "runtime_missing", "to be had: runsc"),
        ({"tier": "untrusted"}, "tier_refused", "seccomp: none"),
    ],
)
async def test_container__that_no_manager_grants_is_refused_with_the_rule(
    plane: Plane, owner: Caller, container: dict[str, str], rule: str, words: str
) -> None:
    (field,) = container
    await offer(plane, msgspec.structs.replace(OFFER, untrusted=["seccomp: none"]))
    app = (await make_app(owner)).json()
    path = f"/api/v1/apps/{app['id']}"
    for answer in (
        await make_app(owner, "b", **container),
        await owner.http.patch(path, json={"container": container}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
        details = answer.json()["details"]
        assert (details["field"], details["rule"]) == (f"container.{field}", rule)
        assert words in answer.json()["detail"]
        assert f"refused by the rule {rule}" in answer.json()["detail"]
    await offer(plane, OFFER)
    assert (await make_app(owner, "b", **container)).status_code == (
        201 if field == "tier" else 400
    )


@pytest.mark.parametrize(
    ("container", "field", "expected"),
    [
        ({"image": "--privileged"}, "container.image", "an image that managers allow"),
        ({"image": 7}, "container.image", "an image that managers allow"),
        ({"runtime": "a b"}, "container.runtime", "the engine's name of a runtime"),
        ({"tier": "root"}, "container.tier", "one of trusted, untrusted"),
    ],
)
async def test_container__what_is_no_name_is_told_what_would_be_one(
    owner: Caller, container: dict[str, Any], field: str, expected: str
) -> None:
    refused = await make_app(owner, **container)
    assert refused.status_code == 400, refused.text
    assert refused.json()["details"]["field"] == field
    assert refused.json()["details"]["expected"].startswith(expected)


REFUSED = [
    ("mounts", [{"source": "/", "target": "/host"}], "no_mounts"),
    ("volumes", ["/var/run/docker.sock:/var/run/docker.sock"], "no_mounts"),
    ("Binds", ["/:/host"], "no_mounts"),
    ("devices", ["/dev/kvm"], "no_mounts"),
    ("env", {"LD_PRELOAD": "/tmp/x.so"}, "no_environment"),
    ("environment", {"HTTP_PROXY": "http://10.0.0.1"}, "no_environment"),
    ("env_vars", {"PATH": "/workspace"}, "no_environment"),
    ("labels", {"berth.session": "another"}, "no_labels"),
    ("privileged", True, "no_powers"),
    ("cap_add", ["SYS_ADMIN"], "no_powers"),
    ("caps", ["ALL"], "no_powers"),
    ("security_opt", ["seccomp=unconfined"], "no_powers"),
    ("user", "0:0", "no_powers"),
    ("network", "host", "no_network"),
    ("networkMode", "bridge", "no_network"),
    ("ports", ["0.0.0.0:80:80"], "no_network"),
    ("extra_hosts", ["host.docker.internal:host-gateway"], "no_network"),
    ("dns", ["10.0.0.1"], "no_network"),
    ("pid_mode", "host", "no_namespaces"),
    ("ipc", "host", "no_namespaces"),
    ("entrypoint", ["sh"], "no_program"),
    ("HostConfig", {"Privileged": True}, "no_program"),
    ("auto_remove", True, "no_program"),
]


@pytest.mark.parametrize(("field", "value", "rule"), REFUSED)
async def test_any_body__what_nobody_may_say_of_a_container_is_refused_with_the_rule(
    owner: Caller, field: str, value: object, rule: str
) -> None:
    session = await make_session(owner.http)
    app = (await make_app(owner)).json()
    bodies: list[tuple[str, str, dict[str, Any], str]] = [
        ("POST", "/api/v1/apps", {"name": "x", "agent": "scripted"}, field),
        ("PATCH", f"/api/v1/apps/{app['id']}", {}, field),
        ("POST", "/api/v1/sessions", {}, field),
        ("POST", f"/api/v1/sessions/{session['id']}/messages", {"text": "hi"}, field),
        ("PATCH", f"/api/v1/session-workers/{session['id']}", {}, field),
        ("POST", "/api/v1/tasks", {"title": "t"}, field),
    ]
    for method, path, body, name in bodies:
        require_refused(
            await owner.http.request(method, path, json=body | {field: value}), name, rule
        )
    for part in ("container", "worker_limits"):
        body = {"name": "x", "agent": "scripted", part: {field: value}}
        answer = await owner.http.post("/api/v1/apps", json=body)
        require_refused(answer, f"{part}.{field}", rule)


def require_refused(answer: Any, field: str, rule: str) -> None:
    assert answer.status_code == 400, answer.text
    told = answer.json()
    assert (told["code"], told["details"]["field"]) == ("validation_failed", field)
    assert told["details"]["rule"] == rule
    assert told["detail"].startswith(f"{field}: refused by the rule {rule}: ")
    assert told["details"]["expected"]


@pytest.mark.parametrize("field", ["image", "runtime", "tier", "container"])
async def test_session__says_nothing_of_its_container(owner: Caller, field: str) -> None:
    answer = await owner.http.post("/api/v1/sessions", json={field: "trusted"})
    require_refused(answer, field, "container_of_the_app")
    assert "`container` of the app" in answer.json()["detail"]


async def test_unknown__of_no_rule_is_no_such_field(owner: Caller) -> None:
    answer = await owner.http.post("/api/v1/sessions", json={"colour": "red"})
    assert answer.json()["details"] == {"field": "colour", "expected": "no such field"}
