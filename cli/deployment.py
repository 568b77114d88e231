"""`python -m cli.deployment DIRECTORY`: the secrets of a deployment whose services are containers.

`DIRECTORY/own` holds them all and is mounted nowhere else; each service's directory beside it gets
copies of those that the service needs, readable by its user alone. Run again, for instance by an
upgrade, it makes what is missing and changes nothing.

`python -m cli.deployment DIRECTORY set NAME` takes one from standard input instead: that of a
database or an object store that is there already.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chassis.settings import SettingsError, load
from cli.embedded.secret_files import SecretFiles, write_secret

SERVICES_UID = 10000
DATABASE = "postgres:5432/berth"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    s3_uid: int = 10001
    s3_data: Path | None = Path("/s3-data")
    """The object store's volume: given to its user while nobody has it."""


@dataclass(frozen=True, slots=True)
class Share:
    service: str
    uid: int
    names: tuple[str, ...]
    mode: int = 0o400


def shares(settings: Settings) -> list[Share]:
    store = ("object-store-access-key", "object-store-secret-key")
    return [
        # its entrypoint reads it as root and again as its own user, whose number images differ in
        Share("postgres", 0, ("database-password",), mode=0o444),
        Share("s3", settings.s3_uid, store),
        Share(
            "control-plane",
            SERVICES_UID,
            (
                *("database-url", *store, "secret-key"),
                *("gateway.pub.pem", "service-gateway", "service-manager"),
            ),
        ),
        Share("gateway", SERVICES_UID, ("gateway.pem", "service-gateway")),
        Share("executor-manager", 0, ("service-manager",)),
        Share("cli", SERVICES_UID, ("database-url",)),
    ]


def make_missing(own: Path) -> None:
    secrets = SecretFiles(own)
    password = secrets.password("database-password").read_text()
    if not (own / "database-url").exists():
        write_secret(own / "database-url", f"postgresql://berth:{password}@{DATABASE}")
    secrets.access_key("object-store-access-key")
    secrets.password("object-store-secret-key")
    secrets.signing_key("gateway")
    secrets.service_key("gateway")
    secrets.service_key("manager")
    secrets.sealing_key("secret-key")


def hand_out(own: Path, directory: Path, share: Share) -> None:
    """A directory that is not mounted belongs to a service that runs elsewhere."""
    theirs = directory / share.service
    if not theirs.is_dir():
        return
    for name in share.names:
        _copy(own / name, theirs / name, share)
    for path in theirs.iterdir():
        if path.name not in share.names:
            path.unlink()
    os.chown(theirs, share.uid, share.uid)
    theirs.chmod(0o755 if share.mode & 0o004 else 0o700)


def replace(own: Path, name: str, value: str) -> None:
    """Raises KeyError for a name that no service knows, ValueError without a value."""
    if name not in {known for share in shares(Settings()) for known in share.names}:
        raise KeyError(name)
    if not value:
        raise ValueError(name)
    own.mkdir(mode=0o700, exist_ok=True)
    (own / name).unlink(missing_ok=True)
    write_secret(own / name, value)


def prepare(root: Path, settings: Settings) -> None:
    make_missing(root / "own")
    for share in shares(settings):
        hand_out(root / "own", root, share)
    data = settings.s3_data
    if data is not None and data.is_dir() and not any(data.iterdir()):
        os.chown(data, settings.s3_uid, settings.s3_uid)


def main() -> None:
    match sys.argv[1:]:
        case [directory]:
            name = ""
        case [directory, "set", name]:
            pass
        case _:
            sys.exit(__doc__)
    try:
        settings = load(Settings)
        if name:
            replace(Path(directory) / "own", name, sys.stdin.read().strip())
        prepare(Path(directory), settings)
    except SettingsError as error:
        sys.exit(str(error))
    except KeyError:
        sys.exit(f"{name}: no service has such a secret")
    except ValueError:
        sys.exit(f"{name}: give its value on standard input")


def _copy(source: Path, target: Path, share: Share) -> None:
    content = source.read_bytes()
    if target.exists():
        found = target.stat()
        alike = (found.st_uid, found.st_mode & 0o777) == (share.uid, share.mode)
        if alike and target.read_bytes() == content:
            return
    beside = target.with_name(f".{target.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fchown(file.fileno(), share.uid, share.uid)
        os.fchmod(file.fileno(), share.mode)
        os.fsync(file.fileno())
    beside.replace(target)


if __name__ == "__main__":
    main()
