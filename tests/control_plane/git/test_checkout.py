"""A session that begins with a repository: real git, through a real relay and the control plane."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from chassis.failpoints import arm, disarm_all
from contracts.checkouts import AskedGit, GitSource
from contracts.reasons import Reason
from executor.agents.errors import AgentFailed
from tests.control_plane.git.berths import Berth
from tests.control_plane.git.checkouts import Place
from tests.control_plane.git.repositories import HOST, TOKEN, GitHost
from tests.control_plane.git.working import WORKER_TOKEN, Worker, repository
from tests.fixtures.barriers import Barrier

DOCS = repository("team/docs")
URL = f"https://{HOST}/team/docs"


class Broken(Exception):
    """What a crash leaves, without the crash."""


@pytest.fixture
async def place(berth: Berth, worker: Worker, git_host: GitHost, short_dir: Path) -> Place:
    git_host.make("team/docs")
    loopback = await berth.listen(await worker.grant(DOCS))
    return Place(short_dir, loopback)


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def inside(place: Place, *arguments: str) -> str:
    return git("-C", str(place.workspace), *arguments)


async def test_clone__is_the_workspace(place: Place, git_host: GitHost) -> None:
    await place.checkout(URL).ensure()
    assert (place.workspace / "README").read_text() == "first\n"
    assert place.names() == {".berth", ".git", "README"}
    assert inside(place, "status", "--porcelain", "--", ".", ":!.berth") == ""
    assert inside(place, "rev-parse", "HEAD") == git_host.head("team/docs")
    assert inside(place, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert URL in (place.workspace / ".git/config").read_text()
    assert place.told.steps() == [("clone", "done", "")]
    assert place.saved.count == 1
    record = json.loads((place.workspace / ".berth/checkout.json").read_bytes())
    assert record == {"url": URL, "ref": "", "commit": git_host.head("team/docs")}
    assert not (place.workspace / ".berth/checkout").exists()


async def test_once__whatever_becomes_of_it(place: Place, git_host: GitHost) -> None:
    await place.checkout(URL).ensure()
    (place.workspace / "README").unlink()
    git_host.forget()
    await place.checkout(URL).ensure()
    # an agent may throw the record away: what it has made of its workspace stays
    (place.workspace / ".berth/checkout.json").unlink()
    await place.checkout(URL, has_history=True).ensure()
    assert place.names() == {".berth", ".git"}
    assert git_host.seen == []
    assert place.saved.count == 1


async def test_refs__branches_tags_commits(
    place: Place, git_host: GitHost, short_dir: Path
) -> None:
    branch = git_host.commit("team/docs", "b", "branch\n", branch="work/later")
    bare = git_host.make("team/docs")
    git("-C", str(bare), "tag", "v1.0", branch)
    loopback = place.worker.loopback
    assert loopback is not None
    for number, ref in enumerate(("work/later", "v1.0", branch)):
        directory = short_dir / str(number)
        directory.mkdir()
        one = Place(directory, loopback)
        await one.checkout(URL, ref).ensure()
        assert inside(one, "rev-parse", "HEAD") == branch, ref
        name = "work/later" if ref == "work/later" else "HEAD"
        assert inside(one, "rev-parse", "--abbrev-ref", "HEAD") == name


async def test_private__by_the_projects_credential_that_is_nowhere_inside(
    berth: Berth, worker: Worker, git_host: GitHost, short_dir: Path
) -> None:
    git_host.make("private/plans")
    loopback = await berth.listen(await worker.grant(repository("private/plans")))
    place = Place(short_dir, loopback)
    url = f"https://{HOST}/private/plans"
    with pytest.raises(AgentFailed) as refused:
        await place.checkout(url).ensure()
    assert refused.value.reason is Reason.CHECKOUT_REFUSED
    assert f"berth git set {HOST}" in refused.value.detail
    await worker.credential()
    await place.checkout(url).ensure()
    everything = b"".join(
        path.read_bytes() for path in place.workspace.rglob("*") if path.is_file()
    )
    for secret in (TOKEN, WORKER_TOKEN):
        assert secret.encode() not in everything
        assert secret not in str(place.told.events)


@pytest.mark.parametrize(
    ("url", "ref", "reason"),
    [
        (f"https://{HOST}/other/docs", None, Reason.CHECKOUT_REFUSED),
        ("https://elsewhere.example.test/team/docs", None, Reason.CHECKOUT_REFUSED),
        (URL, "gone", Reason.CHECKOUT_REF_MISSING),
    ],
)
async def test_refused__with_a_reason_and_nothing_left(
    place: Place, url: str, ref: str | None, reason: Reason
) -> None:
    with pytest.raises(AgentFailed) as refused:
        await place.checkout(url, ref).ensure()
    assert refused.value.reason is reason
    assert "127.0.0.1" not in refused.value.detail
    assert place.told.steps() == [("clone", "failed", reason)]
    assert place.names() <= {".berth"}
    assert not list((place.workspace / ".berth").iterdir())
    assert place.saved.count == 0


async def test_repository_that_is_not_there(berth: Berth, worker: Worker, short_dir: Path) -> None:
    loopback = await berth.listen(await worker.grant(repository("team/*")))
    with pytest.raises(AgentFailed) as refused:
        await Place(short_dir, loopback).checkout(f"https://{HOST}/team/nowhere").ensure()
    assert refused.value.reason is Reason.CHECKOUT_NOT_FOUND


async def test_policy_without_git(place: Place, worker: Worker, short_dir: Path) -> None:
    """The worker's own words are of its start; what counts is the policy as it is now."""
    loopback = place.worker.loopback
    assert loopback is not None
    await worker.grant()
    again = Place(short_dir, loopback, egress=[])
    with pytest.raises(AgentFailed) as refused:
        await again.checkout(URL).ensure()
    assert refused.value.reason is Reason.CHECKOUT_REFUSED
    await worker.grant(DOCS)
    await again.checkout(URL).ensure()
    assert (again.workspace / "README").exists()


async def test_what_stands_in_its_place__stays(place: Place) -> None:
    (place.workspace / "README").write_text("the app's\n")
    with pytest.raises(AgentFailed, match="README") as refused:
        await place.checkout(URL).ensure()
    assert refused.value.reason is Reason.CHECKOUT_PLACE_TAKEN
    assert (place.workspace / "README").read_text() == "the app's\n"
    assert place.names() == {".berth", "README"}
    (place.workspace / "README").unlink()
    await place.checkout(URL).ensure()


@pytest.mark.parametrize(
    ("failpoint", "clones"),
    [
        ("checkout.cleared", 2),
        ("checkout.cloned", 2),
        ("checkout.sealed", 1),
        ("checkout.placed", 1),
    ],
)
async def test_crash__anywhere_and_the_next_attempt_has_it_whole(
    place: Place, git_host: GitHost, failpoint: str, clones: int
) -> None:
    async def crash() -> None:
        raise Broken

    git_host.forget()
    arm(failpoint, crash)
    with pytest.raises(Broken):
        await place.checkout(URL).ensure()
    disarm_all()
    await place.checkout(URL).ensure()
    assert place.names() == {".berth", ".git", "README"}
    assert inside(place, "rev-parse", "HEAD") == git_host.head("team/docs")
    inside(place, "fsck")
    asked = [one for one in git_host.seen if one["target"].endswith("/git-upload-pack")]
    assert len(asked) <= 2 * clones
    assert place.saved.count == 1


async def test_cancel__ends_git_and_leaves_nothing_half(place: Place) -> None:
    barrier = Barrier()
    arm("checkout.cloned", barrier.action)
    task = asyncio.create_task(place.checkout(URL).ensure())
    await barrier.reached()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    disarm_all()
    assert place.names() == {".berth"}
    await place.checkout(URL).ensure()
    assert place.names() == {".berth", ".git", "README"}


@pytest.mark.parametrize(
    "asked",
    [
        {"url": "https://user:secret@git.example.org/a"},
        {"url": "https://git.example.org:8443/a"},
        {"url": "http://git.example.org/a"},
        {"url": "git@git.example.org:a"},
        {"url": "file:///etc"},
        {"url": "https://git.example.org/a?token=x"},
        {"url": "https://git.example.org/../a"},
        {"url": "https://git.example.org/-a"},
        {"url": "https://10.0.0.1/a"},
        {"url": URL, "ref": "--upload-pack=touch /tmp/x"},
        {"url": URL, "ref": "-b"},
        {"url": URL, "ref": "a..b"},
        {"url": URL, "ref": "a b"},
        {"url": URL, "ref": "a/"},
        {"url": URL, "ref": "refs/heads/../x"},
    ],
)
async def test_asked__nothing_but_host_and_path(worker: Worker, asked: dict[str, str]) -> None:
    project = worker.session["project_id"]
    body = {"text": "go", "project_id": project, "workspace": {"git": asked}}
    answer = await worker.owner.http.post("/api/v1/runs", json=body)
    assert answer.status_code == 400, answer.text
    assert "secret" not in answer.text


async def test_asked__is_the_sessions(worker: Worker) -> None:
    project = worker.session["project_id"]
    asked = {"git": {"url": URL, "ref": "main"}}
    body = {"text": "go", "project_id": project, "workspace": asked}
    made = await worker.owner.http.post("/api/v1/runs", json=body)
    assert made.status_code == 202, made.text
    session = made.json()["session_id"]
    shown = (await worker.owner.http.get(f"/api/v1/sessions/{session}")).json()
    assert shown["workspace"] == asked
    again = await worker.owner.http.post(
        "/api/v1/runs", json={"text": "go", "session_id": session, "workspace": asked}
    )
    assert again.json()["details"]["field"] == "workspace"


def test_contract__what_is_kept_is_what_was_asked() -> None:
    assert AskedGit.__struct_fields__ == GitSource.__struct_fields__
