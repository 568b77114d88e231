"""Real git in a session's place: through the listener, a real relay and the control plane to a real
host, and what does not get there.
"""

import asyncio
import os

from tests.control_plane.git.berths import Berth
from tests.control_plane.git.repositories import HOST, TOKEN, GitHost
from tests.control_plane.git.spoilt import SpoiltHost
from tests.control_plane.git.working import SPOILT, WORKER_TOKEN, Worker, repository

READS = repository("team/docs")
PUSHES = repository("team/docs", push=True)
BELOW = repository("team/*")
MEGABYTE = 1024 * 1024


def url(path: str, host: str = HOST) -> str:
    return f"https://{host}/{path}"


async def test_clone_and_fetch__of_a_repository_that_the_policy_names(
    berth: Berth, worker: Worker, git_host: GitHost
) -> None:
    git_host.make("team/docs")
    inside = await berth.open(await worker.grant(READS))
    await inside.works("clone", "-q", url("team/docs.git"), "one")
    assert (inside.directory / "one" / "README").read_text() == "first\n"
    made = git_host.commit("team/docs", "later", "second\n")
    await inside.works("-C", "one", "pull", "-q", "--ff-only")
    assert (await inside.works("-C", "one", "rev-parse", "HEAD")).out.strip() == made
    # as people write it, and by the older protocol
    await inside.works("clone", "-q", "--depth", "1", url("team/docs"), "two")
    await inside.works("-c", "protocol.version=0", "clone", "-q", url("team/docs.git"), "three")
    shown = (await inside.works("-C", "one", "remote", "-v")).out
    assert "127.0.0.1" in shown  # the rewritten one; the configuration has what was asked for
    assert url("team/docs.git") in (inside.directory / "one" / ".git" / "config").read_text()
    versions = {seen["headers"].get("git-protocol") for seen in git_host.seen}
    assert versions == {"version=2", None}
    for seen in git_host.seen:
        assert "authorization" not in seen["headers"]
        assert WORKER_TOKEN not in str(seen)


async def test_clone__of_many_branches_sends_packed_requests(
    berth: Berth, worker: Worker, git_host: GitHost
) -> None:
    git_host.make("team/wide")
    heads = [git_host.commit("team/wide", "f", f"{i}", branch=f"b{i}") for i in range(40)]
    inside = await berth.open(await worker.grant(BELOW))
    await inside.works("clone", "-q", url("team/wide.git"), "wide")
    told = (await inside.works("-C", "wide", "for-each-ref", "--format=%(objectname)")).out
    assert set(heads) <= set(told.split())
    assert any(seen["headers"].get("content-encoding") == "gzip" for seen in git_host.seen)


async def test_push__with_the_projects_credential_and_audited(
    berth: Berth, worker: Worker, git_host: GitHost
) -> None:
    git_host.make("team/docs")
    await worker.credential()
    inside = await berth.open(await worker.grant(PUSHES))
    await inside.works("clone", "-q", url("team/docs.git"), "one")
    before = git_host.head("team/docs")
    made = await inside.commit("one", "work", b"done\n")
    await inside.works("-C", "one", "push", "-q", "origin", "HEAD:refs/heads/agents")
    assert git_host.head("team/docs", "agents") == made
    assert git_host.head("team/docs") == before
    (entry,) = await worker.audited("git.push")
    assert entry["target"] == f"{HOST}/team/docs"
    assert entry["actor"] is None
    assert entry["detail"] == {
        "session_id": worker.session["id"],
        "worker": str(worker.id),
        "refs": [{"ref": "refs/heads/agents", "old": "0" * 40, "new": made}],
        "all_refs": True,
    }
    everything = b"".join(
        path.read_bytes() for path in inside.directory.rglob("*") if path.is_file()
    )
    for secret in (TOKEN, WORKER_TOKEN):
        assert secret.encode() not in everything
        assert secret not in str(inside.environment)


async def test_much__passes_both_ways(berth: Berth, worker: Worker, git_host: GitHost) -> None:
    """More than git sends at once: it asks first whether it may, then streams."""
    git_host.make("team/large")
    content = os.urandom(24 * MEGABYTE)
    git_host.commit("team/large", "blob", content)
    await worker.credential()
    inside = await berth.open(await worker.grant(repository("team/large", push=True)))
    await inside.works("clone", "-q", url("team/large.git"), "one")
    assert (inside.directory / "one" / "blob").read_bytes() == content
    made = await inside.commit("one", "blob", os.urandom(24 * MEGABYTE))
    await inside.works("-C", "one", "push", "-q", "origin", "main")
    assert git_host.head("team/large") == made
    pushed = [seen for seen in git_host.seen if seen["target"].endswith("/git-receive-pack")]
    assert len(pushed) == 2
    assert pushed[1]["headers"]["transfer-encoding"] == "chunked"
    # the question whether it may is none
    assert len(await worker.audited("git.push")) == 1


async def test_private_repository__is_read_with_the_credential(
    berth: Berth, worker: Worker, git_host: GitHost
) -> None:
    git_host.make("private/plans")
    inside = await berth.open(await worker.grant(repository("private/plans")))
    refused = await inside.git("clone", "-q", url("private/plans.git"), "one")
    assert refused.code != 0
    assert f"berth git set {HOST}" in refused.err
    await worker.credential()
    await inside.works("clone", "-q", url("private/plans.git"), "one")


async def test_refused__whatever_the_policy_does_not_name(
    berth: Berth, worker: Worker, git_host: GitHost
) -> None:
    for path in ("team/docs", "team/docs2", "other/docs"):
        git_host.make(path)
    await worker.credential()
    inside = await berth.open(await worker.grant(READS))
    git_host.forget()
    for wrong in (
        url("team/docs2.git"),
        url("other/docs.git"),
        url("team/docs/../../other/docs.git"),
        url("team/docs.git", "other.example.test"),
        url("team/docs.git", "127.0.0.1"),
    ):
        done = await inside.git("clone", "-q", wrong, "wrong")
        assert done.code != 0, wrong
        assert "403" in done.err, done.err
    assert git_host.seen == []


async def test_refused__a_push_that_is_not_granted(
    berth: Berth, worker: Worker, git_host: GitHost
) -> None:
    git_host.make("team/docs")
    inside = await berth.open(await worker.grant(READS))
    await inside.works("clone", "-q", url("team/docs.git"), "one")
    await inside.commit("one", "work", b"done\n")
    before = git_host.head("team/docs")
    git_host.forget()
    done = await inside.git("-C", "one", "push", "origin", "main")
    assert done.code != 0
    assert "the policy does not allow to push to team/docs" in done.err
    # granted now: the same worker may, once there is a credential as well
    await worker.grant(PUSHES)
    done = await inside.git("-C", "one", "push", "origin", "main")
    assert f"the project needs a credential: an owner runs `berth git set {HOST}`" in done.err
    assert (git_host.head("team/docs"), git_host.seen) == (before, [])
    assert await worker.audited("git.push") == []
    told = await worker.denials(2)
    assert [(one["upstream"], one["rule"], one["host"], one["path"]) for one in told] == [
        ("git", "push", HOST, "/team/docs.git"),
        ("git", "push_credential", HOST, "/team/docs.git"),
    ]
    await worker.credential()
    await inside.works("-C", "one", "push", "-q", "origin", "main")
    assert git_host.head("team/docs") != before


async def test_redirect__leads_nowhere(berth: Berth, worker: Worker, spoilt: SpoiltHost) -> None:
    inside = await berth.open(await worker.grant(repository("redirects/a", host=SPOILT)))
    done = await inside.git("clone", "-q", url("redirects/a.git", SPOILT), "one")
    assert done.code != 0
    assert f"{SPOILT} leads elsewhere" in done.err
    assert len(spoilt.seen) == 1


async def test_other_ways_of_git__stay_inside(
    berth: Berth, worker: Worker, git_host: GitHost
) -> None:
    """What runs here is the agent's own; nothing of it comes to us."""
    git_host.make("team/docs")
    inside = await berth.open(await worker.grant(READS))
    await inside.works("clone", "-q", url("team/docs.git"), "one")
    git_host.forget()
    here = inside.directory / "one"
    await inside.works("clone", "-q", f"file://{here}", "two")
    allowed = ("-c", "protocol.ext.allow=always")
    await inside.works(*allowed, "clone", "-q", f"ext::git upload-pack {here}", "three")
    assert git_host.seen == []
    # nobody is asked for a password, and nothing waits
    async with asyncio.timeout(20):
        done = await inside.git("clone", "-q", "ssh://git@git.example.test/team/docs.git", "four")
    assert done.code != 0
