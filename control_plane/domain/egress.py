"""What a person may ask sessions to reach, and how a denial is told. Pure."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from contracts.egress import (
    AskedEgress,
    Denial,
    EgressHost,
    EgressPolicy,
    EgressProfile,
    GitRepository,
)
from contracts.security_events import EgressDenied

MAX_WORDS = 64
MAX_HOST = 253
MAX_PATH = 300

_SECOND_LEVELS = frozenset(
    {"ac", "co", "com", "edu", "go", "gob", "gouv", "gov", "mil", "ne", "net", "nom", "or", "org"}
)
_ANYBODYS = frozenset(
    {"a.run.app", "amazonaws.com", "appspot.com", "azureedge.net", "azurewebsites.net"}
    | {
        "blob.core.windows.net",
        "blogspot.com",
        "cloudapp.net",
        "cloudfront.net",
        "core.windows.net",
    }
    | {"deno.dev", "firebaseapp.com", "fly.dev", "github.io", "gitlab.io", "glitch.me"}
    | {"herokuapp.com", "netlify.app", "ngrok-free.app", "ngrok.app", "ngrok.dev", "ngrok.io"}
    | {"on.aws", "onrender.com", "pages.dev", "r2.dev", "run.app", "s3.amazonaws.com"}
    | {"sharepoint.com", "surge.sh", "trycloudflare.com", "up.railway.app", "vercel.app"}
    | {"web.app", "windows.net", "workers.dev"}
)
"""Below these anybody gets a name of their own: a wildcard would be leave to go anywhere."""


@dataclass(frozen=True, slots=True)
class InForce:
    policy: EgressPolicy
    version: str
    """Another one for another policy."""


class WrongEgress(Exception):
    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field
        self.expected = expected


def policy_of(asked: AskedEgress) -> EgressPolicy:
    """Raises WrongEgress, of the first field that is wrong."""
    if asked.profile is not EgressProfile.CUSTOM:
        _require_plain(asked)
    _require_single("hosts", ((one.host, one.port) for one in asked.hosts))
    _require_single("repositories", ((one.host, one.path) for one in asked.repositories))
    for place, host in enumerate(asked.hosts):
        _check_host(f"hosts[{place}].host", host)
    for place, repository in enumerate(asked.repositories):
        _check_repository(f"repositories[{place}]", repository)
    return EgressPolicy(
        profile=asked.profile,
        packages=asked.packages,
        hosts=asked.hosts,
        repositories=asked.repositories,
        mib_per_hour=asked.mib_per_hour,
    )


def denied(told: Denial) -> EgressDenied:
    """Its words come from what an agent sent."""
    return EgressDenied(
        upstream=told.upstream[:MAX_WORDS],
        method=told.method[:MAX_WORDS],
        host=told.host[:MAX_HOST],
        port=told.port if 0 < told.port <= 65_535 else 0,
        path=told.path[:MAX_PATH],
        rule=told.rule[:MAX_WORDS],
        count=max(1, told.count),
        last_at=told.at,
    )


def _require_plain(asked: AskedEgress) -> None:
    custom = EgressProfile.CUSTOM.value
    for field in ("hosts", "repositories"):
        if getattr(asked, field):
            raise WrongEgress(field, f"an empty list: they go with the profile {custom}")
    if asked.packages:
        raise WrongEgress("packages", f"false: it goes with the profile {custom}")
    if asked.mib_per_hour is not None:
        raise WrongEgress("mib_per_hour", f"null: it goes with the profile {custom}")


def _require_single(field: str, keys: Iterable[Hashable]) -> None:
    seen: dict[Hashable, int] = {}
    for place, key in enumerate(keys):
        if key in seen:
            raise WrongEgress(f"{field}[{place}]", f"another one than {field}[{seen[key]}]")
        seen[key] = place


def _check_host(field: str, host: EgressHost) -> None:
    base = host.host.removeprefix("*.")
    if base != host.host and _is_anybodys(base):
        raise WrongEgress(
            field, f"a name below {base}: anybody can have one there, so *.{base} is everything"
        )


def _is_anybodys(base: str) -> bool:
    labels = base.split(".")
    if len(labels) == 1 or base in _ANYBODYS:
        return True
    return len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _SECOND_LEVELS


def _check_repository(field: str, repository: GitRepository) -> None:
    if repository.host.startswith("*."):
        raise WrongEgress(f"{field}.host", "one host's whole name, without *")
    if repository.path.removesuffix("/*").endswith(".git"):
        raise WrongEgress(f"{field}.path", "the repository's path without .git at its end")
