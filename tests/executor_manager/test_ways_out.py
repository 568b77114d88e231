"""What a manager makes of a worker's egress policy: upstreams, tunnels, and a word for inside."""

import pytest

from chassis.ids import new_id
from chassis.settings import SettingsError, load
from contracts.egress import EgressHost, EgressPolicy, EgressProfile, GitRepository
from contracts.relay import NamedUpstream, Tunnels
from executor_manager.services.ways_out import WaysOut, ways_out
from executor_manager.settings import Settings

WORKER = new_id()
NONE = EgressPolicy()
PACKAGES = EgressPolicy(profile=EgressProfile.PACKAGES)
HOSTS = [EgressHost(host="api.example.org"), EgressHost(host="*.example.com", port=8443)]
REPOSITORIES = [
    GitRepository(host="git.example.org", path="berth/docs"),
    GitRepository(host="git.example.org", path="tools/*", push=True),
]
CUSTOM = EgressPolicy(
    profile=EgressProfile.CUSTOM, packages=True, hosts=HOSTS, repositories=REPOSITORIES
)


def ways(*operators: NamedUpstream, **settings: str) -> WaysOut:
    environ = {
        "BERTH_STATE_DIR": "/nowhere",
        "BERTH_CONTROL_PLANE_URL": "http://control:8000/",
        "BERTH_OBJECT_STORE_URL": "http://store:9000",
        "BERTH_SERVICE_KEY": "key",
        **{f"BERTH_{name.upper()}": value for name, value in settings.items()},
    }
    return ways_out(load(Settings, environ=environ), operators)


def named(found: list[NamedUpstream]) -> dict[str, NamedUpstream]:
    return {upstream.name: upstream for upstream in found}


@pytest.mark.parametrize(
    ("policy", "names", "word"),
    [
        (NONE, ["models", "tools"], ""),
        (PACKAGES, ["models", "tools", "pypi", "npm"], "pypi,npm"),
        (CUSTOM, ["models", "tools", "pypi", "npm", "git"], "pypi,npm,git,tunnel"),
        (
            EgressPolicy(profile=EgressProfile.CUSTOM, repositories=REPOSITORIES),
            ["models", "tools", "git"],
            "git",
        ),
        (EgressPolicy(profile=EgressProfile.CUSTOM, hosts=HOSTS), ["models", "tools"], "tunnel"),
    ],
)
def test_upstreams__are_those_of_the_policy(
    policy: EgressPolicy, names: list[str], word: str
) -> None:
    made = ways()
    assert [one.name for one in made.upstreams(WORKER, policy)] == names
    assert made.granted(WORKER, policy) == word


def test_indexes__are_read_only_and_know_where_files_are() -> None:
    found = named(
        ways(
            pypi_url="http://mirror:8080/team/index/",
            pypi_file_hosts="http://files:1,http://more/",
            npm_url="http://npm:4873",
        ).upstreams(WORKER, PACKAGES)
    )
    pypi, npm = found["pypi"], found["npm"]
    assert (pypi.url, pypi.paths, pypi.index) == (
        "http://mirror:8080/team/index",
        ["/simple/"],
        "pypi",
    )
    assert pypi.file_hosts == ["http://files:1", "http://more"]
    assert (npm.url, npm.index) == ("http://npm:4873", "npm")
    for index in (pypi, npm):
        assert index.methods == ["GET", "HEAD"]
        assert not index.as_worker
        assert index.credential is None
    default = named(ways().upstreams(WORKER, PACKAGES))["pypi"].url
    assert default.startswith("https://")


def test_git__leads_to_the_control_plane_for_the_named_repositories_alone() -> None:
    git = named(ways().upstreams(WORKER, CUSTOM))["git"]
    assert git.url == f"http://control:8000/internal/v1/workers/{WORKER}/git"
    assert git.as_worker
    assert git.paths == [
        "/git.example.org/berth/docs/",
        "/git.example.org/berth/docs.git/",
        "/git.example.org/tools/",
    ]


def test_tunnels__have_the_policys_limit_or_the_installations() -> None:
    made = ways(tunnel_mib_per_hour="7", tunnel_connections="3")
    assert made.tunnels(NONE) is None
    assert made.tunnels(PACKAGES) is None
    assert made.tunnels(CUSTOM) == Tunnels(hosts=HOSTS, mib_per_hour=7, connections=3)
    own = EgressPolicy(profile=EgressProfile.CUSTOM, hosts=HOSTS, mib_per_hour=9)
    assert made.tunnels(own) == Tunnels(hosts=HOSTS, mib_per_hour=9, connections=3)


def test_an_operators_own_index__takes_the_place_of_the_built_in_one() -> None:
    own = NamedUpstream(
        name="pypi", url="https://private", methods=["GET"], paths=["/simple/"], index="pypi"
    )
    made = ways(own)
    assert named(made.upstreams(WORKER, PACKAGES))["pypi"] == own
    assert made.granted(WORKER, PACKAGES) == "pypi,npm"
    assert made.granted(WORKER, NONE) == "pypi", "the file's are for every agent"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("pypi_url", "index.example"),
        ("pypi_url", "https://user:secret@index.example"),
        ("npm_url", "https://a/?x"),
        ("pypi_file_hosts", "https://a,https://b/path"),
        ("tunnel_connections", "0"),
    ],
)
def test_settings__that_are_wrong_are_named(setting: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"BERTH_{setting.upper()}"):
        ways(**{setting: value})
