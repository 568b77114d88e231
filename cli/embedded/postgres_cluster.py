"""A Postgres data directory on disk: made whole or not at all, its version, its last shutdown."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cli.embedded.access import User, give_tree, switch
from cli.embedded.errors import DiskFull, EmbeddedError, OtherVersion, StartFailed
from cli.embedded.postgres_binaries import MAJOR, PostgresBinaries
from cli.embedded.processes import PLAIN_ENV
from cli.embedded.secret_files import read_secret, write_secret

SUPERUSER = "postgres"
_PROGRAM_WITHIN = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    data: Path
    programs: PostgresBinaries
    user: User | None

    def create(self, *, password_file: Path, sync: bool) -> None:
        """Beside its place, then renamed: a start that was cut short leaves no half of it."""
        fresh = self.data.with_name(f"{self.data.name}.new")
        password = self.data.with_name(".password")
        shutil.rmtree(fresh, ignore_errors=True)
        password.unlink(missing_ok=True)
        try:
            fresh.mkdir(mode=0o700)
            write_secret(password, read_secret(password_file))
            if self.user is not None:
                give_tree(fresh, self.user)
                give_tree(password, self.user)
            options = (
                f"--pgdata={fresh}",
                f"--pwfile={password}",
                *(() if sync else ("--no-sync",)),
            )
            self._run("initdb", *options, *_INITDB)
            fresh.rename(self.data)
        except OSError as error:
            raise explain(f"{self.data} could not be made", str(error)) from error
        finally:
            password.unlink(missing_ok=True)
            shutil.rmtree(fresh, ignore_errors=True)

    def require_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != MAJOR:
            raise OtherVersion(
                f"{self.data} was written by Postgres {found}; this Berth carries {MAJOR}. "
                "Nothing was changed. Start the Berth that wrote it and dump its database "
                "(`pg_dump`), move the directory away, start this one and restore the dump; "
                "or set BERTH_HOME to a new directory."
            )

    def was_shut_down(self) -> bool:
        """False: the server was killed, or the machine was; the next start recovers."""
        report = self._run("pg_controldata", f"--pgdata={self.data}").splitlines()
        state = next(line for line in report if line.startswith("Database cluster state"))
        return state.partition(":")[2].strip() in {"shut down", "shut down in recovery"}

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self.programs.program(program), *arguments],
            env=PLAIN_ENV,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROGRAM_WITHIN,
            check=False,
            umask=0o077,
            **switch(self.user),
        )
        if done.returncode != 0:
            raise explain(f"{program} failed", done.stderr)
        return done.stdout


_INITDB = (
    f"--username={SUPERUSER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--lc-messages=C",
)


def explain(what: str, log: str) -> EmbeddedError:
    if any(sign in log for sign in ("No space left on device", "Disk quota exceeded")):
        return DiskFull(
            f"{what}: the disk is full. Free some space, or set BERTH_HOME to a directory on "
            f"another disk.\n{log}"
        )
    return StartFailed(f"{what}. The end of its log:\n{log}")
