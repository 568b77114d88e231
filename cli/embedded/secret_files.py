"""The secrets of one deployment: made at its first start, each in a file that only we can read.

Services read them through their `*_FILE` settings, so that none is in an environment or an
argument list.
"""

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from chassis.auth import generate_service_key, generate_signing_key


class SecretFiles:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder

    def password(self, name: str) -> Path:
        """32 random bytes in URL-safe base64: fits into a URL and a SQL literal unquoted."""
        return self._once(name, lambda: secrets.token_urlsafe(32))

    def sealing_key(self, name: str) -> Path:
        """32 random bytes in base64, under which others are sealed."""
        return self._once(name, lambda: base64.b64encode(secrets.token_bytes(32)).decode())

    def access_key(self, name: str) -> Path:
        """An object store's key id: upper case letters and digits."""
        return self._once(name, lambda: f"BERTH{secrets.token_hex(8).upper()}")

    def service_key(self, service: str) -> Path:
        return self._once(f"service-{service}", lambda: generate_service_key(service))

    def signing_key(self, name: str) -> tuple[Path, Path]:
        """An Ed25519 pair as PEM files: (private, public)."""
        private, public = self.folder / f"{name}.pem", self.folder / f"{name}.pub.pem"
        if not (private.exists() and public.exists()):
            private.unlink(missing_ok=True)
            public.unlink(missing_ok=True)
            made_private, made_public = generate_signing_key()
            write_secret(public, made_public)
            write_secret(private, made_private)
        return private, public

    def _once(self, name: str, make: Callable[[], str]) -> Path:
        path = self.folder / name
        if not path.exists():
            write_secret(path, make())
        return path


def write_secret(path: Path, text: str) -> None:
    """Readable by us alone from its first byte; whole or not there; never over an existing one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(beside, path)
    except FileExistsError:
        pass  # made meanwhile, and that one is kept
    finally:
        beside.unlink()


def read_secret(path: Path) -> str:
    return path.read_text().strip()
