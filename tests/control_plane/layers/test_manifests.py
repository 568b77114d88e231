"""What apps may say of workspaces: each path by its rule; which runtime opens what."""

from typing import Any

import msgspec
import pytest

from chassis.errors import BerthError
from contracts.runtime_manifests import PROJECT_MOUNT, AskedRuntimeManifest, RuntimeManifest
from control_plane.domain.runtime_manifests import mounts_of, verdict_on
from control_plane.services.runtime_manifests import manifest_of
from executor.services.layers import runtime_verdict


def asked(**fields: Any) -> AskedRuntimeManifest:
    return msgspec.convert(fields, AskedRuntimeManifest)


BAD = [
    ("etc/passwd", "absolute"),
    ("", "absolute"),
    ("~/x", "absolute"),
    ("/etc/passwd", "under_workspace"),
    ("/workspace", "under_workspace"),
    ("/workspaces/a", "under_workspace"),
    ("/workspace/../etc", "plain_parts"),
    ("/workspace/a/../../etc", "plain_parts"),
    ("/workspace//a", "plain_parts"),
    ("/workspace/a/", "plain_parts"),
    ("/workspace/./a", "plain_parts"),
    ("/workspace/a\0b", "plain_parts"),
    ("/workspace/a\nb", "plain_parts"),
    ("/workspace/" + "a" * 256, "length"),
    ("/workspace/" + "a/" * 3000 + "b", "length"),
]


@pytest.mark.parametrize(("path", "rule"), BAD)
@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("seed_files[0].path", lambda path: {"seed_files": [{"path": path, "text": "x"}]}),
        ("mount_points[0].path", lambda path: {"mount_points": [{"path": path}]}),
        ("cleanup_rules[0].path", lambda path: {"cleanup_rules": [{"path": path}]}),
        ("required_paths[0]", lambda path: {"required_paths": [path]}),
        ("protected_paths[0]", lambda path: {"protected_paths": [path]}),
    ],
)
def test_paths__each_refusal_names_field_path_and_rule(  # parameters of a table
    path: str, rule: str, field: str, make: Any
) -> None:
    with pytest.raises(BerthError) as refused:
        manifest_of(asked(**make(path)))
    details = refused.value.details
    assert (details["field"], details["rule"]) == (f"runtime_manifest.{field}", rule)
    assert details["path"] == path[:300]
    assert field in refused.value.detail
    assert rule in refused.value.detail


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"seed_files": [{"path": "/workspace/a"}]}, "seed_files[0].source", "source"),
        (
            {"seed_files": [{"path": "/workspace/a", "text": "x", "source": "b"}]},
            "seed_files[0].source",
            "source",
        ),
        (
            {"seed_files": [{"path": "/workspace/a", "text": "x", "unpack": True}]},
            "seed_files[0].source",
            "source",
        ),
        (
            {"seed_files": [{"path": "/workspace/a", "source": "../b"}]},
            "seed_files[0].source",
            "plain_parts",
        ),
        (
            {"mount_points": [{"path": "/workspace/a", "source": "/b"}]},
            "mount_points[0].source",
            "plain_parts",
        ),
        (
            {"mount_points": [{"path": "/workspace/a"}, {"path": "/workspace/a/b"}]},
            "mount_points[1].path",
            "apart",
        ),
        (
            {"mount_points": [{"path": "/workspace/a"}, {"path": "/workspace/a"}]},
            "mount_points[1].path",
            "unique",
        ),
        (
            {
                "mount_points": [{"path": "/workspace/a"}],
                "seed_files": [{"path": "/workspace/a/b", "text": ""}],
            },
            "seed_files[0].path",
            "apart",
        ),
        (
            {"mount_points": [{"path": "/workspace/.berth/claude"}]},
            "mount_points[0].path",
            "reserved",
        ),
        (
            {"cleanup_rules": [{"path": "/workspace/.berth"}]},
            "cleanup_rules[0].path",
            "reserved",
        ),
        (
            {"cleanup_rules": [{"path": "/workspace/a", "pattern": "../*"}]},
            "cleanup_rules[0].pattern",
            "plain_parts",
        ),
    ],
)
def test_manifest__that_contradicts_itself_is_refused(
    fields: dict[str, Any], field: str, rule: str
) -> None:
    with pytest.raises(BerthError) as refused:
        manifest_of(asked(**fields))
    details = refused.value.details
    assert (details["field"], details["rule"]) == (f"runtime_manifest.{field}", rule)


def test_manifest__what_only_looks_bad_is_taken() -> None:
    names = ["..%2fx", "%2e%2e", "~", "a\\..\\b", "...", "a b", "-rf", "ü"]
    found = manifest_of(asked(required_paths=[f"/workspace/{name}" for name in names]))
    assert len(found.required_paths) == len(names)


def test_mounts__without_a_word_are_the_projects_files() -> None:
    assert [one.path for one in mounts_of(RuntimeManifest())] == [PROJECT_MOUNT]
    assert mounts_of(RuntimeManifest(mount_points=[])) == []


@pytest.mark.parametrize(
    ("saved", "app", "verdict"),
    [
        ("", "1", "fits"),
        ("1", "", "fits"),
        ("1.9", "1.10", "fits"),
        ("1.10", "1.9", "warning"),
        ("1.0.1", "1", "warning"),
        ("2", "1.99", "refused"),
    ],
)
def test_runtime__both_sides_say_the_same(saved: str, app: str, verdict: str) -> None:
    assert verdict_on(saved, app) == runtime_verdict(saved, app) == verdict
