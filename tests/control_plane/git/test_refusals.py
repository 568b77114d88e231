"""What is no request of git's smart protocol, or leads where no policy does: refused, and told."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import pytest

from control_plane.services.git_denials import GitDenials
from tests.control_plane.git.repositories import HOST, TOKEN, GitHost
from tests.control_plane.git.spoilt import SpoiltHost
from tests.control_plane.git.working import SPOILT, WORKER_TOKEN, Worker, repository

UPLOAD = "info/refs?service=git-upload-pack"
DOCS = f"/{HOST}/team/docs.git"


OTHER_PATHS = {
    "a file of the dumb protocol": f"{DOCS}/HEAD",
    "objects of the dumb protocol": f"{DOCS}/objects/info/packs",
    "refs without a service": f"{DOCS}/info/refs",
    "another service": f"{DOCS}/info/refs?service=git-upload-archive",
    "two services": f"{DOCS}/{UPLOAD}&service=git-receive-pack",
    "a service and more": f"{DOCS}/{UPLOAD}&x=1",
    "an encoded service": f"{DOCS}/info/refs?service=git%2Dupload-pack",
    "the host's API": f"/{HOST}/api/v1/user",
    "the API behind a repository": f"{DOCS}/api/v1/user",
    "large files": f"{DOCS}/info/lfs/objects/batch",
    "no repository": f"/{HOST}/{UPLOAD}",
    "no host": f"/{UPLOAD}",
    "a way up": f"/{HOST}/team/x/../docs.git/{UPLOAD}",
    "an encoded way up": f"/{HOST}/team/x/%2e%2e/docs.git/{UPLOAD}",
    "an encoded letter": f"/{HOST}/team/%64ocs.git/{UPLOAD}",
    "an encoded slash": f"/{HOST}/team%2fdocs.git/{UPLOAD}",
    "a segment of one dot": f"/{HOST}/team/./docs.git/{UPLOAD}",
    "a doubled slash": f"/{HOST}/team//docs.git/{UPLOAD}",
    "a doubled slash at first": f"//{HOST}/team/docs.git/{UPLOAD}",
    "a parameter": f"/{HOST}/team/docs.git;x/{UPLOAD}",
    "a user": f"/me@{HOST}/team/docs.git/{UPLOAD}",
    "a port": f"/{HOST}:8080/team/docs.git/{UPLOAD}",
    "a hidden directory": f"/{HOST}/team/.git/{UPLOAD}",
    "an endless path": f"/{HOST}/team/{'a' * 300}/{UPLOAD}",
    "another host": f"/other.example.test/team/docs.git/{UPLOAD}",
    "another repository": f"/{HOST}/team/docs2.git/{UPLOAD}",
    "one below": f"/{HOST}/team/docs/more.git/{UPLOAD}",
    "a name of two": f"/{HOST}/team/docs.git.git/{UPLOAD}",
    "another's case": f"/{HOST}/Team/docs.git/{UPLOAD}",
    "to push": f"{DOCS}/info/refs?service=git-receive-pack",
}


@pytest.mark.parametrize("case", OTHER_PATHS)
async def test_get__of_anything_else(worker: Worker, git_host: GitHost, case: str) -> None:
    git_host.make("team/docs")
    await worker.grant(repository("team/docs"))
    git_host.forget()
    status = await raw(worker, "GET", OTHER_PATHS[case])
    assert status in {403, 404}, status
    assert git_host.seen == []
    if status == 403:
        (told,) = await worker.denials(1)
        assert told["upstream"] == "git"
        assert "?" not in told["path"]


async def raw(worker: Worker, method: str, target: str, headers: str = "") -> int:
    """As it stands: no client library tidies it up."""
    place = urlsplit(str(worker.http.base_url))
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = (
        f"{method} {place.path.rstrip('/')}{target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {WORKER_TOKEN}\r\n{headers}\r\n"
    )
    writer.write(head.encode())
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return int(answer.split(b" ")[1])


METHODS: list[tuple[str, str]] = [
    ("POST", f"{DOCS}/{UPLOAD}"),
    ("GET", f"{DOCS}/git-upload-pack"),
    ("POST", f"{DOCS}/git-upload-pack?x=1"),
]


@pytest.mark.parametrize(("method", "target"), METHODS)
async def test_method__that_does_not_go_with_it(
    worker: Worker, git_host: GitHost, method: str, target: str
) -> None:
    await worker.grant(repository("team/docs"))
    answer = await worker.http.request(method, target)
    assert answer.status_code == 403, answer.text
    for other in ("PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        assert (await worker.http.request(other, f"{DOCS}/{UPLOAD}")).status_code in {403, 405}
    assert git_host.seen == []


@pytest.mark.parametrize(
    ("headers", "rule"),
    [
        ({}, "content_type"),
        ({"content-type": "application/json"}, "content_type"),
        ({"content-type": "application/x-git-receive-pack-request"}, "content_type"),
        (
            {"content-type": "application/x-git-upload-pack-request", "content-encoding": "br"},
            "content_encoding",
        ),
    ],
)
async def test_body__of_another_kind(
    worker: Worker, git_host: GitHost, headers: dict[str, str], rule: str
) -> None:
    await worker.grant(repository("team/docs"))
    answer = await worker.http.post(f"{DOCS}/git-upload-pack", content=b"0000", headers=headers)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert [one["rule"] for one in await worker.denials(1)] == [rule]
    assert git_host.seen == []


async def test_nothing_granted__nothing_passes(worker: Worker, git_host: GitHost) -> None:
    git_host.make("team/docs")
    await worker.credential()
    answer = await worker.refs("team/docs.git")
    assert (answer.status_code, answer.text) == (
        403,
        f"the policy names no repository of {HOST}\n",
    )
    (told,) = await worker.denials(1)
    assert {name: told[name] for name in ("upstream", "method", "host", "path", "rule")} == {
        "upstream": "git", "method": "GET", "host": HOST, "path": "/team/docs.git", "rule": "host",
    }  # fmt: skip
    assert git_host.seen == []


async def test_denials__of_many_are_few_events(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them come in the pause behind the first batch."""
    over = asyncio.Event()

    async def pause(_: GitDenials) -> None:
        await over.wait()

    monkeypatch.setattr(GitDenials, "_pause", pause)
    answers = await asyncio.gather(
        *(worker.refs(f"team/{number % 50}.git") for number in range(200))
    )
    assert {answer.status_code for answer in answers} == {403}
    over.set()
    told = await worker.denials(200)
    assert sum(one["count"] for one in told) == 200
    assert len(told) <= 2 * 33


WITHOUT_A_SMART_ANSWER: dict[str, tuple[int, str, str]] = {
    "redirects/a": (403, "redirect", "leads elsewhere"),
    "dumb/a": (403, "dumb_protocol", "does not speak git's smart protocol"),
    "html/a": (403, "dumb_protocol", "does not speak git's smart protocol"),
    "refuses/401": (403, "", "see the project's credential"),
    "refuses/403": (403, "", "see the project's credential"),
    "refuses/404": (404, "", "shows no repository refuses/404.git"),
    "refuses/413": (413, "", "takes no request as large"),
    "refuses/429": (429, "", "asked too often"),
    "refuses/500": (503, "", "it answered 500"),
    "hangs-up/a": (503, "", "it ended the connection"),
    "silent/a": (504, "", "did not answer within 1 s"),
    "echoes/a": (200, "", ""),
}


@pytest.mark.parametrize("path", WITHOUT_A_SMART_ANSWER)
async def test_host__that_answers_otherwise(
    worker: Worker, spoilt: SpoiltHost, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Nothing of the answer passes that could repeat the credential, or ask for one."""
    status, rule, words = WITHOUT_A_SMART_ANSWER[path]
    if path == "silent/a":
        monkeypatch.setattr(worker.plane.app.services.git._remote, "_silence", 1.0)
    await worker.credential(SPOILT)
    await worker.grant(repository(path, host=SPOILT))
    answer = await worker.refs(f"{path}.git", host=SPOILT, cookie="a=b")
    assert (answer.status_code, words in answer.text) == (status, True), answer.text
    told: Any = f"{answer.text}{answer.headers}"
    (seen,) = spoilt.seen
    sent = seen.headers["authorization"]
    assert sent.startswith("Basic ")
    for secret in (TOKEN, sent.removeprefix("Basic "), WORKER_TOKEN):
        assert secret not in told
    for name in ("www-authenticate", "location", "set-cookie", "x-berth-other", "cache-control"):
        assert name not in answer.headers
    assert "cookie" not in seen.headers
    if rule:
        assert [one["rule"] for one in await worker.denials(1)] == [rule]


async def test_worker__that_is_not_its_own(worker: Worker, git_host: GitHost) -> None:
    await worker.grant(repository("team/docs"))
    for token in ("", "Bearer wrong"):
        answer = await worker.refs("team/docs.git", authorization=token)
        assert answer.status_code == 401, token
    assert git_host.seen == []


@pytest.mark.parametrize("ended", ["superseded_at", "released_at"])
async def test_worker__whose_time_is_over(worker: Worker, git_host: GitHost, ended: str) -> None:
    await worker.grant(repository("team/docs"))
    await worker.plane.connection.execute(f"UPDATE session_workers SET {ended} = now()")  # noqa: S608 # a column of ours
    assert (await worker.refs("team/docs.git")).status_code == 409
    assert git_host.seen == []
