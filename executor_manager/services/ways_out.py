"""What a worker's egress policy becomes: upstreams and tunnels of the relay, an executor's words.

What the installation itself offers, and where that is, stands in the manager's settings; what of it
a worker gets, in its grant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from chassis.settings import SettingsError
from contracts.egress import EgressPolicy
from contracts.relay import NamedUpstream, Tunnels
from executor_manager.services.agent_upstreams import is_base, is_origin, worker_url
from executor_manager.services.agent_upstreams import upstreams_of as built_in_and_operators
from executor_manager.settings import Settings

PYPI = "pypi"
NPM = "npm"
GIT = "git"
TUNNEL = "tunnel"
EGRESS = "BERTH_EGRESS"
"""The variable that tells an executor of them."""
READ = ["GET", "HEAD"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaysOut:
    control_plane_url: str
    operators: Sequence[NamedUpstream] = ()
    """Of the operator's file: for every agent, whatever its policy."""
    indexes: Sequence[NamedUpstream] = ()
    """For those whose policy reads packages."""
    mib_per_hour: int
    """Through tunnels, where a policy does not say."""
    connections: int

    def upstreams(self, worker_id: UUID, egress: EgressPolicy) -> list[NamedUpstream]:
        further = list(self.indexes) if egress.reads_packages else []
        if egress.repositories:
            further.append(self._git(worker_id, egress))
        return built_in_and_operators(worker_id, self.control_plane_url, self.operators, further)

    def tunnels(self, egress: EgressPolicy) -> Tunnels | None:
        if not egress.hosts:
            return None
        return Tunnels(
            hosts=egress.hosts,
            mib_per_hour=egress.mib_per_hour or self.mib_per_hour,
            connections=self.connections,
        )

    def granted(self, worker_id: UUID, egress: EgressPolicy) -> str:
        """Of what the executor makes its tools' environment."""
        found = {upstream.name: upstream for upstream in self.upstreams(worker_id, egress)}
        words = [name for name in (PYPI, NPM) if name in found and found[name].index == name]
        words += [GIT] if egress.repositories else []
        words += [TUNNEL] if egress.hosts else []
        return ",".join(words)

    def _git(self, worker_id: UUID, egress: EgressPolicy) -> NamedUpstream:
        """Further rules, and credentials, are the control plane's."""
        return NamedUpstream(
            name=GIT,
            url=f"{worker_url(self.control_plane_url, worker_id)}/git",
            methods=["GET", "POST"],
            paths=[
                path
                for repository in egress.repositories
                for path in _paths(f"/{repository.host}/{repository.path}")
            ],
            as_worker=True,
        )


def ways_out(settings: Settings, operators: Sequence[NamedUpstream]) -> WaysOut:
    """Raises `SettingsError` that names the variable."""
    return WaysOut(
        control_plane_url=settings.control_plane_url,
        operators=operators,
        indexes=[
            NamedUpstream(
                name=PYPI,
                url=_base("BERTH_PYPI_URL", settings.pypi_url),
                methods=READ,
                paths=["/simple/"],
                index=PYPI,
                file_hosts=[
                    _origin("BERTH_PYPI_FILE_HOSTS", url) for url in settings.pypi_file_hosts
                ],
            ),
            NamedUpstream(
                name=NPM,
                url=_base("BERTH_NPM_URL", settings.npm_url),
                methods=READ,
                paths=["/"],
                index=NPM,
            ),
        ],
        mib_per_hour=settings.tunnel_mib_per_hour,
        connections=settings.tunnel_connections,
    )


def _paths(path: str) -> list[str]:
    """People clone `owner/name` as well as `owner/name.git`."""
    if path.endswith("/*"):
        return [path.removesuffix("*")]
    return [f"{path}/", f"{path}.git/"]


def _base(variable: str, url: str) -> str:
    if not is_base(url):
        raise SettingsError(
            f"{variable} should be http:// or https://, a host, and nothing after its path"
        )
    return url.rstrip("/")


def _origin(variable: str, url: str) -> str:
    if not is_origin(url):
        raise SettingsError(f"{variable}: each should be http:// or https://, and a host: {url}")
    return url.rstrip("/")
