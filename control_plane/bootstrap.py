"""`python -m control_plane.bootstrap --project P --user U`: prints a new API key as JSON."""

import argparse
import asyncio
import sys

import msgspec

from chassis.errors import DependencyUnavailable
from chassis.settings import Secret, SettingsError, load
from control_plane.preflight import database
from control_plane.services.bootstrap import Bootstrap, as_json
from control_plane.services.schema import Schema


class BootstrapSettings(msgspec.Struct, frozen=True, kw_only=True):
    database_url: Secret


async def bootstrap(url: str, *, project: str, user: str, key_name: str) -> str:
    """JSON: project_id, user_id, key_id, key."""
    async with database(url) as opened:
        await Schema(opened).check()
        return as_json(await Bootstrap(opened).run(project=project, user=user, key_name=key_name))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m control_plane.bootstrap", description=__doc__)
    parser.add_argument("--project", default="default")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--key-name", default="bootstrap")
    asked = parser.parse_args()
    try:
        url = load(BootstrapSettings).database_url
        made = asyncio.run(
            bootstrap(url, project=asked.project, user=asked.user, key_name=asked.key_name)
        )
    except SettingsError as error:
        sys.exit(str(error))
    except DependencyUnavailable as error:
        sys.exit("; ".join(f"{one['what']}: {one['how']}" for one in error.details["missing"]))
    sys.stdout.write(made + "\n")


if __name__ == "__main__":
    main()
