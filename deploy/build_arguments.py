"""What a build inside the engine has to know of this host: its package index and its proxies.

Only what is set here, in the environment or in pip's configuration, is passed on, and of indexes
only those on the network: a directory of this host is not in a build.
"""

import ast
import os
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
    return {**proxies, **_pip_configuration()}


def _pip_configuration() -> dict[str, str]:
    asked = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    return parse_pip_configuration(listed)


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
