"""The environment of whatever runs as the agent: agents with their tools, and people's terminals.

Made from nothing: none of the executor's own, and no secret. What the session's policy grants is
named in it by the loopback listener's port, so that ordinary tools find it.
"""

from collections.abc import Collection
from pathlib import Path

NOT_PROXIED = "127.0.0.1,localhost,::1"


def tools_environment(
    *, home: Path, path: str, granted: Collection[str] = (), origin: str | None = None
) -> dict[str, str]:
    """`granted`: of `pypi`, `npm`, `git`, `tunnel`; another word is of a later version.

    `origin`: of the listener, without a slash at its end; None: there is no way out.
    """
    env = {
        "HOME": str(home),
        "PATH": f"{path}:{home}/.local/bin",  # where pip puts programs
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "SHELL": "/bin/sh",
        "USER": "agent",
        "TMPDIR": "/tmp",  # noqa: S108  # the agent's own, as HOME is
    }
    if origin is not None:
        for way, made in _MADE.items():
            if way in granted:
                env |= made(origin)
    return env


def _pypi(origin: str) -> dict[str, str]:
    index = f"{origin}/pypi/simple/"
    return {
        "PIP_INDEX_URL": index,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "UV_DEFAULT_INDEX": index,
    }


def _npm(origin: str) -> dict[str, str]:
    """What npm would post is refused anyway: it is not to try."""
    return {
        "npm_config_registry": f"{origin}/npm/",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
        "npm_config_update_notifier": "false",
        "COREPACK_NPM_REGISTRY": f"{origin}/npm",
    }


def _git(origin: str) -> dict[str, str]:
    """All of https leads to the control plane, which knows the repositories and has the
    credentials: the agent has none, and is never asked for any.
    """
    settings = {
        f"url.{origin}/git/.insteadOf": "https://",
        "credential.helper": "",
        "http.followRedirects": "false",
    }
    env = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_COUNT": str(len(settings))}
    for place, (key, value) in enumerate(settings.items()):
        env[f"GIT_CONFIG_KEY_{place}"] = key
        env[f"GIT_CONFIG_VALUE_{place}"] = value
    return env


def _tunnel(origin: str) -> dict[str, str]:
    """In both spellings: some tools know only one. What is not TLS is refused there, and said."""
    named = {"https_proxy": origin, "http_proxy": origin, "no_proxy": NOT_PROXIED}
    return {**named, **{name.upper(): value for name, value in named.items()}, **_NODE}


_NODE = {"NODE_USE_ENV_PROXY": "1"}
_MADE = {"pypi": _pypi, "npm": _npm, "git": _git, "tunnel": _tunnel}
