"""What `docs/security.md` says is what the code says: the table, each check of the preflight."""

import re
from dataclasses import fields
from pathlib import Path

from contracts.promises import HEAD, PROMISES, rows
from control_plane.routes.refusals import RULES
from executor_manager.containers.backend import Capabilities
from executor_manager.containers.preflight import examine
from tests.executor_manager.containers.hosts import DEBIAN_12_INFO, DEBIAN_12_VERSION, facts

SECURITY = (Path(__file__).parents[2] / "docs/security.md").read_text()


def test_table__is_the_one_that_doctor_prints() -> None:
    lines = ["| " + " | ".join(row) + " |" for row in (HEAD, *rows())]
    lines.insert(1, "|" + "---|" * len(HEAD))
    assert "\n".join(lines) in SECURITY


def test_table__hosts_are_asked_for_capabilities_that_there_are() -> None:
    known = {one.name for one in fields(Capabilities)}
    assert {one.name for one in PROMISES if one.name} <= known
    for one in PROMISES:
        assert one.name or "host" not in one, f"{one.text}: who says whether a host keeps it?"


def test_preflight__each_check_is_explained() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \|", SECURITY, re.MULTILINE))
    assert {one.check for one in examine(facts(DEBIAN_12_VERSION, DEBIAN_12_INFO))} <= explained


def test_refusals__each_rule_is_named() -> None:
    assert [rule.name for rule in RULES if f"`{rule.name}`" not in SECURITY] == []
