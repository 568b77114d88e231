"""What no body may say of a session's container: told with the rule that refuses it, and what would
be right.

Unknown fields are refused anyway; this is for those that other platforms have.
"""

from typing import Any, NamedTuple

from litestar import Request, Response

from chassis.errors import BerthError
from chassis.problems import handle_exception, known_error
from contracts.errors import Code

UNKNOWN = "no such field"


class Rule(NamedTuple):
    name: str
    right: str
    fields: frozenset[str]
    """In lower case, without what separates words."""


def _fields(words: str) -> frozenset[str]:
    return frozenset(words.split())


RULES = (
    Rule(
        "no_mounts",
        "no mount: a session has its own workspace and nothing of the host's",
        _fields("mount mounts volume volumes volumesfrom bind binds device devices tmpfs shmsize"),
    ),
    Rule(
        "no_environment",
        "no environment: an administrator sets it for all executors, in BERTH_EXECUTOR_ENV_JSON",
        _fields("env envs environ environment environmentvariables envvars envfile"),
    ),
    Rule(
        "no_labels",
        "no label: they say whose a container is",
        _fields("label labels annotation annotations containername"),
    ),
    Rule(
        "no_powers",
        "no power: a session's processes never get more than the agent's user has",
        _fields(
            "privileged cap caps capabilities capadd capdrop securityopt securityopts seccomp"
            " apparmor selinux nonewprivileges readonlyrootfs user uid gid groupadd userns"
            " usernsmode sysctl sysctls ulimit ulimits devicecgrouprules oomscoreadj"
        ),
    ),
    Rule(
        "no_network",
        "no network: `egress` of the app or the project says what a session may reach",
        _fields(
            "network networks networkmode networking ports port expose publish publishallports"
            " extrahosts addhost dns dnssearch dnsoptions links hostname domainname proxy"
        ),
    ),
    Rule(
        "no_namespaces",
        "no namespace of the host's: a session has its own",
        _fields("pid pidmode ipc ipcmode uts utsmode cgroup cgroupns cgroupnsmode cgroupparent"),
    ),
    Rule(
        "no_program",
        "no program: a container runs the executor, and it the app's `agent`",
        _fields(
            "entrypoint cmd command args init restart restartpolicy autoremove stopsignal"
            " stoptimeout healthcheck hostconfig containerconfig dockeroptions logconfig"
        ),
    ),
    Rule(
        "container_of_the_app",
        "`container` of the app: {image, runtime, tier}, which its owner sets",
        _fields("image images runtime tier container containerimage"),
    ),
)

_BY_FIELD = {field: rule for rule in RULES for field in rule.fields}


def tell_refusal(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return handle_exception(request, with_rule(known_error(error)))


def with_rule(known: BerthError) -> BerthError:
    """The same error, but for an unknown field that a rule refuses."""
    field = str(known.details.get("field", ""))
    plain = field.rpartition(".")[2].replace("_", "").replace("-", "").lower()
    rule = _BY_FIELD.get(plain)
    if rule is None or known.details.get("expected") != UNKNOWN:
        return known
    return BerthError(
        Code.VALIDATION,
        f"{field}: refused by the rule {rule.name}: {rule.right}",
        field=field,
        expected=rule.right,
        rule=rule.name,
    )
