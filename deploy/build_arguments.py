"""What a build inside the engine has to know of this host: its package indexes and its proxies.

Only what is set here, in the environment or in pip's and npm's configuration, is passed on, and of
indexes only those on the network: a directory of this host is not in a build.
"""

import ast
import os
import shutil
import subprocess
import sys

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_PIP = {
    "index-url": "PIP_INDEX_URL",
    "extra-index-url": "PIP_EXTRA_INDEX_URL",
    "trusted-host": "PIP_TRUSTED_HOST",
}


def build_arguments() -> dict[str, str]:
    environment = os.environ  # noqa: TID251 - handed on to a build
    proxies = {name: environment[name] for name in _PROXIES if environment.get(name)}
    return {**proxies, **_pip_configuration(), **_npm_configuration()}


def _pip_configuration() -> dict[str, str]:
    asked = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    return parse_pip_configuration(listed)


def _npm_configuration() -> dict[str, str]:
    npm = shutil.which("npm")
    if npm is None:
        environment = os.environ  # noqa: TID251 - as above
        return parse_npm_registry(environment.get("NPM_CONFIG_REGISTRY", ""))
    asked = [npm, "config", "get", "registry"]
    return parse_npm_registry(
        subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    )


def parse_npm_registry(said: str) -> dict[str, str]:
    registry = said.strip()
    return {"NPM_CONFIG_REGISTRY": registry} if registry.startswith(("http://", "https://")) else {}


def parse_pip_configuration(listed: str) -> dict[str, str]:
    """`listed` is what `pip config list` prints. The environment comes first there, and wins."""
    found: dict[str, str] = {}
    for line in listed.splitlines():
        name, equals, value = line.partition("=")
        key = name.rpartition(".")[2]
        variable = _PIP.get(key)
        if not equals or variable is None:
            continue
        words = str(ast.literal_eval(value)).split()
        if key != "trusted-host":
            words = [word for word in words if word.startswith(("http://", "https://"))]
        if words:
            found.setdefault(variable, " ".join(words))
    return found
