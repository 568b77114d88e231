"""Runs uv with the package indexes that pip is configured for; uv itself knows of its own only.

`python deploy/run_uv.py ARGUMENTS…`, by the interpreter of the environment that is worked on.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

_TRANSLATED = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}
_OWN = frozenset({"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_CONFIG_FILE"})
"""Whoever set one of these has configured uv itself."""


def main() -> int:
    env = dict(os.environ)  # noqa: TID251 - handed on to the tool that it configures
    if not _OWN & env.keys():
        env = {**_translated(env), **env}
    env.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")  # as pip does; the locks have hashes
    env.setdefault("UV_LINK_MODE", _link_mode(env))
    if not _home_is_writable(env):
        env.setdefault("UV_CACHE_DIR", str(Path(sys.prefix) / ".cache"))
    uv = Path(sys.executable).with_name("uv")
    return subprocess.run([str(uv), *sys.argv[1:]], env=env, check=False).returncode


def _translated(env: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    asked = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(asked, env=env, capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        name, equals, value = line.partition("=")
        variable = _TRANSLATED.get(name.rpartition(".")[2])
        if equals and variable is not None:
            words = str(ast.literal_eval(value)).split()
            found[variable] = ("," if variable == "UV_FIND_LINKS" else " ").join(words)
    return found


def _link_mode(env: dict[str, str]) -> str:
    """Hard links, but where cache and environment lie on different disks."""
    home = env.get("UV_CACHE_DIR") or env.get("XDG_CACHE_HOME") or env.get("HOME", "")
    try:
        same = Path(home).stat().st_dev == Path(sys.prefix).stat().st_dev
    except OSError:
        same = False
    return "hardlink" if same else "copy"


def _home_is_writable(env: dict[str, str]) -> bool:
    cache = env.get("UV_CACHE_DIR") or env.get("XDG_CACHE_HOME")
    return bool(cache) or os.access(env.get("HOME", ""), os.W_OK)


if __name__ == "__main__":
    sys.exit(main())
