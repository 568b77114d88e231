"""The peers' programs: what is missing and is a package of Debian's is installed, if we may."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGED = ("restic", "zstd", "tar")
SECONDS = 600


def prepare() -> None:
    """Ends this process, with what to do, where a program is missing and cannot be had."""
    missing = [name for name in PACKAGED if shutil.which(name) is None]
    how = f"install what is missing: apt-get install {' '.join(missing)}"
    if missing:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            sys.exit(f"bench-sync: {', '.join(missing)} not found; {how}")
        print(f"bench-sync: installing Debian's {', '.join(missing)}", flush=True)
        _apt("update", how)
        _apt("install", how, "--no-install-recommends", *missing)
    for name in ("rclone", "s5cmd"):
        if not (Path(sys.executable).parent / name).exists():
            sys.exit(f"bench-sync: {name} not found in this environment; make it: make setup")


def _apt(what: str, how: str, *words: str) -> None:
    command = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=60", what, *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if ran.returncode != 0:
        sys.exit(f"bench-sync: apt-get {what} failed; {how}\n{ran.stderr[-1000:]}")
