"""`python -m control_plane.migrate`: brings the database to this version's schema."""

import asyncio
import sys

import msgspec

import sql.migrate
from chassis.settings import Secret, SettingsError, load


class MigrateSettings(msgspec.Struct, frozen=True, kw_only=True):
    database_url: Secret


def main() -> None:
    try:
        url = load(MigrateSettings).database_url
        asyncio.run(sql.migrate.upgrade(url))
    except SettingsError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"database: start Postgres, or correct BERTH_DATABASE_URL: {error}")
    sys.stdout.write(f"{sql.migrate.head_revision()}\n")


if __name__ == "__main__":
    main()
