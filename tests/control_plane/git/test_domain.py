"""Where git leads, what a push says, what a request is: the pure parts."""

import gzip
import zlib

import pytest

from contracts.egress import EgressPolicy, EgressProfile
from control_plane.domain.git_hosts import GitHosts, Place
from control_plane.domain.git_pushes import LONGEST_HEAD, MOST_REFS, PushHead
from control_plane.domain.git_requests import GitAsk, Refused, parsed, require_allowed, to_host
from control_plane.domain.model_hosts import Origin
from tests.control_plane.git.working import repository

OLD, NEW, NONE = "a" * 40, "b" * 40, "0" * 40


def line(text: str) -> bytes:
    return f"{len(text) + 4:04x}{text}".encode()


COMMANDS = (
    line(f"{OLD} {NEW} refs/heads/main\x00report-status side-band-64k agent=git/2")
    + line(f"{NEW} {NONE} refs/heads/gone\n")
    + b"0000"
)


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
@pytest.mark.parametrize("packing", ["", "gzip", "deflate"])
def test_push__names_its_refs_however_it_comes(size: int, packing: str) -> None:
    pack = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress}[packing]
    body = pack(COMMANDS + b"PACK" + b"\xff" * 100)
    head = PushHead(packing)
    for at in range(0, len(body), size):
        head.feed(body[at : at + size])
    assert head.read
    assert head.whole
    assert not head.asks_only
    assert [(one.ref, one.old, one.new) for one in head.refs] == [
        ("refs/heads/main", OLD, NEW),
        ("refs/heads/gone", NEW, NONE),
    ]


def fed(body: bytes, packing: str = "") -> PushHead:
    head = PushHead(packing)
    head.feed(body)
    head.end()
    return head


def test_push__that_only_asks() -> None:
    assert fed(b"0000").asks_only
    for body in (COMMANDS, b"", b"000", b"0004" + b"0000", b"garbage", b"fffg", b"0001"):
        assert not fed(body).asks_only, body


def test_push__that_hides_its_refs_is_none_that_only_asks() -> None:
    """Whatever a host may read otherwise than we do."""
    capitals = line(f"{OLD.upper()} {NEW.upper()} refs/heads/main\x00")
    assert [one.ref for one in fed(capitals + b"0000").refs] == ["refs/heads/main"]
    unknown = fed(line("push-cert\x00x") + line("whatever") + b"0000")
    assert (unknown.asks_only, unknown.whole, unknown.refs) == (False, False, [])
    assert not fed(COMMANDS, "gzip").asks_only  # not packed at all
    many = b"".join(line(f"{OLD} {NEW} refs/heads/{i}") for i in range(MOST_REFS + 1)) + b"0000"
    assert (len(fed(many).refs), fed(many).whole) == (MOST_REFS, False)


def test_push__whose_head_has_no_end_is_not_kept_for_ever() -> None:
    head = PushHead("gzip")
    head.feed(gzip.compress(line("x" * 1000) * 100_000))
    assert head.read
    assert not head.whole
    assert LONGEST_HEAD < 100_000


SAYS_NOTHING: dict[str, bytes] = {
    "empty blocks": gzip.compress(b"")[:10] + b"\x00\x00\x00\xff\xff" * 20_000,
    "a name without an end": b"\x1f\x8b\x08\x08" + b"\x00" * 6 + b"n" * 100_000,
    "what follows its end": gzip.compress(b"") * 5000,
}


@pytest.mark.parametrize("case", SAYS_NOTHING)
def test_push__that_is_packed_and_says_nothing_is_not_kept_for_ever(case: str) -> None:
    """Whoever feeds it keeps what it fed until the head was read."""
    body, head, fed_bytes = SAYS_NOTHING[case], PushHead("gzip"), 0
    while not head.read and fed_bytes < len(body):
        head.feed(body[fed_bytes : fed_bytes + 1000])
        fed_bytes += 1000
    assert head.read
    assert fed_bytes < LONGEST_HEAD + 1000
    assert not head.asks_only
    assert not head.whole


def test_hosts__are_as_the_administrator_says() -> None:
    hosts = GitHosts(
        ["inside.example.org", "https://odd.example.org:8443", "git.example.org=http://git:8080"]
    )
    assert hosts.place("github.com") == Place(Origin("https", "github.com", 443), anywhere=False)
    inside = Origin("https", "inside.example.org", 443)
    assert hosts.place("inside.example.org") == Place(inside, anywhere=True)
    assert hosts.place("odd.example.org").origin == Origin("https", "odd.example.org", 8443)
    assert hosts.place("git.example.org").origin == Origin("http", "git", 8080)


@pytest.mark.parametrize(
    "text",
    ["git", "http://git:8080", "10.0.0.1", "a.example.org/path", "a.example.org=", "=http://a",
     "a.example.org=ftp://git", "*.example.org", "a.example.org=http://u:p@git", "A b"],
)  # fmt: skip
def test_hosts__that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="BERTH_GIT_HOSTS"):
        GitHosts([text])


ALLOWED: list[tuple[str, str, bool]] = [
    ("team/docs", "team/docs", True),
    ("team/docs", "team/docs.git", True),
    ("team/docs", "team/docs.git.git", False),
    ("team/docs", "team/docs2", False),
    ("team/docs", "team", False),
    ("team/docs", "team/docs/more", False),
    ("team/*", "team/docs", True),
    ("team/*", "team/a/b.git", True),
    ("team/*", "teams/docs", False),
    ("team/*", "team", False),
    ("team/*", "team.git", False),
]


@pytest.mark.parametrize(("granted", "path", "passes"), ALLOWED)
def test_repository__is_named_exactly_or_below(granted: str, path: str, passes: bool) -> None:  # noqa: FBT001 # a table's column
    policy = EgressPolicy(profile=EgressProfile.CUSTOM, repositories=[repository(granted)])
    ask = parsed("GET", f"/git.example.test/{path}/info/refs", b"service=git-upload-pack")
    try:
        require_allowed(ask, policy, has_credential=True)
        found = True
    except Refused:
        found = False
    assert found is passes


NO_PATHS = ["team/../other/docs", "team/./docs", "team/..", "../docs", "team//docs", "team/.git",
            "team/%2e%2e/other", "team/docs;x", "-x/docs"]  # fmt: skip


@pytest.mark.parametrize("path", NO_PATHS)
def test_path__that_a_host_may_read_otherwise_is_none(path: str) -> None:
    """Before any policy is asked: one that ends in `/*` would cover most of them."""
    with pytest.raises(Refused, match="path"):
        parsed("GET", f"/git.example.test/{path}/info/refs", b"service=git-upload-pack")


def test_push__is_granted_by_any_that_covers_it() -> None:
    ask = parsed("POST", "/git.example.test/team/docs.git/git-receive-pack", b"")
    both = [repository("team/docs"), repository("team/*", push=True)]
    policy = EgressPolicy(profile=EgressProfile.CUSTOM, repositories=both)
    require_allowed(ask, policy, has_credential=True)
    with pytest.raises(Refused, match="push_credential"):
        require_allowed(ask, policy, has_credential=False)


def test_headers__of_git_alone_go_along() -> None:
    ask = GitAsk(host="h", path="a/b.git", service="git-upload-pack", advertised=False)
    given = {
        "content-type": "application/x-git-upload-pack-request",
        "content-encoding": "gzip",
        "git-protocol": "version=2",
        "user-agent": "git/2",
        "authorization": "Bearer x",
        "cookie": "a=b",
        "x-forwarded-for": "1.2.3.4",
        "host": "other",
        "private-token": "t",
    }
    assert to_host(ask, given.items()) == [
        ("user-agent", "git/2"),
        ("git-protocol", "version=2"),
        ("content-type", "application/x-git-upload-pack-request"),
        ("content-encoding", "gzip"),
        ("transfer-encoding", "chunked"),
    ]
    strange = {**given, "git-protocol": "version=2\tx"}
    assert ("git-protocol", "version=2\tx") not in to_host(ask, strange.items())
