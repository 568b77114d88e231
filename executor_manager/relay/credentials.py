"""Values that are added outside. Read at each use: one that was replaced counts at once."""

import asyncio
import re
from pathlib import Path

LONGEST = 16 * 1024

_ONE_LINE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


class CredentialMissing(Exception):
    """`what` is missing and `how` it would be there; neither holds a value."""

    def __init__(self, name: str, how: str) -> None:
        super().__init__(name, how)
        self.what = f"the credential {name}"
        self.how = how


class Credentials:
    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    async def value(self, name: str) -> str:
        """Raises `CredentialMissing`. `name` was checked where the policy was read."""
        if self._directory is None:
            raise CredentialMissing(name, "start the relay with BERTH_RELAY_CREDENTIALS_DIR")
        return await asyncio.to_thread(_read, self._directory, name)


def _read(directory: Path, name: str) -> str:
    how = f"put its value into the file {name} of the relay's credentials directory"
    try:
        with (directory / name).open("rb") as file:
            content = file.read(LONGEST + 1)
    except OSError as error:
        raise CredentialMissing(name, f"{how}: {error.strerror}") from error
    value = content.decode("ascii", "replace").strip()
    if len(content) > LONGEST or not _ONE_LINE.fullmatch(value):
        raise CredentialMissing(name, f"{how}: one line of printable ASCII")
    return value
