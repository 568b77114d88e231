"""`berth egress` against a real stack, and how a denial is shown."""

import datetime
from collections.abc import Generator
from typing import Any

import httpx
import pytest

from cli.exits import Exit
from cli.words import lines
from contracts.security_events import EgressDenied
from tests.fixtures.commands import Up

AT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def nothing_left(up: Up) -> Generator[None]:
    yield
    assert up.run("egress", "set", "none").code == Exit.OK


def test_set_and_show__the_projects_policy(up: Up) -> None:
    assert up.run("egress", "show").out == "the project: none\n"
    done = up.run(
        *("egress", "set", "custom", "--packages", "--mib-per-hour", "10"),
        *("--host", "api.example.org", "--host", "*.example.com:8443"),
        *("--repository", "https://git.example.org/berth/docs.git"),
        *("--push", "git.example.org/tools/*"),
    )
    wanted = """\
the project: custom
  package indexes, to read
  api.example.org:443
  *.example.com:8443
  git.example.org/berth/docs: clone, fetch
  git.example.org/tools/*: clone, fetch, push
  10 MiB an hour, to hosts
"""
    assert (done.code, done.out) == (Exit.OK, wanted)
    assert up.run("egress", "show").out == wanted
    (told,) = up.run("egress", "show", "--json").json()
    assert told["project"]["hosts"][0] == {"host": "api.example.org", "port": 443}


def app_of(up: Up) -> dict[str, Any]:
    (made,) = up.run("keys", "create", "for-an-app", "--json").json()
    answer = httpx.post(
        f"{up.url}/api/v1/apps",
        json={"name": "shut", "agent": "scripted"},
        headers={"Authorization": f"Bearer {made['key']}"},
        trust_env=False,
        timeout=30,
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_set_and_unset__an_apps_own(up: Up) -> None:
    assert up.run("egress", "set", "packages").code == Exit.OK
    app = app_of(up)["id"]
    done = up.run("egress", "set", "none", "--app", app)
    assert (done.code, done.out) == (Exit.OK, "the app shut: none\n")
    shown = up.run("egress", "show").out
    wanted = f"the project: packages\n  package indexes, to read\nthe app shut ({app}): none\n"
    assert shown == wanted
    done = up.run("egress", "unset", "--app", app)
    assert done.out == "The app shut has no policy of its own any more.\n"
    assert "shut" not in up.run("egress", "show").out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("custom", "--host", "10.0.0.1"), "--host 10.0.0.1: expected a name in lower case"),
        (("custom", "--host", "a.example:x"), "--host a.example:x: expected"),
        (("custom", "--repository", "git.example.org"), "expected HOST/PATH as in its URL"),
        (("custom", "--push", "ext::sh"), "--push ext::sh: expected HOST/PATH"),
        (("custom", "--host", "*.co.uk"), "hosts[0].host: expected a name below co.uk"),
        (("packages", "--host", "a.example"), "hosts: expected an empty list"),
        (("everything",), ""),
    ],
)
def test_set__that_is_wrong_is_said(up: Up, arguments: tuple[str, ...], told: str) -> None:
    done = up.run("egress", "set", *arguments)
    assert done.code == Exit.USAGE
    assert told in done.err


def denied(**fields: Any) -> str:
    (line,) = lines(EgressDenied(rule="method", last_at=AT, **fields))
    return line.text


def test_a_denial__is_one_line_with_host_port_path_and_rule() -> None:
    assert denied(upstream="npm", method="PUT", path="/npm/x") == (
        "denied: PUT /npm/x by npm (method)"
    )
    tunnel = denied(upstream="tunnel", method="CONNECT", host="evil.example", port=443, count=3)
    assert tunnel == "denied: CONNECT evil.example:443 by tunnel (method, 3 times)"
