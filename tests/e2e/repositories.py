"""A git host beside a stack, with repositories that are read here from their own directory."""

import shutil
from pathlib import Path

from tests.control_plane.git import host
from tests.control_plane.git.repositories import TOKEN, GitHost
from tests.e2e.stack import Stack

COMPOSE = Path(__file__).parent / "compose.git.yml"
HOST = "git.example.net"
PORT = 8080


class Repositories(GitHost):
    """Its container comes up with the stack's."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, PORT)
        (directory / "repositories").mkdir(parents=True, exist_ok=True)
        (directory / "requests").touch()
        (directory / "token").write_text(TOKEN)
        shutil.copy(host.__file__, directory / "host.py")

    def beside(self, stack: Stack) -> None:
        stack.files.append(COMPOSE)
        stack.given["git-token"] = TOKEN
        stack.variables["GIT_WITNESS"] = str(self.directory)
        given = stack.environments["control-plane"]
        hosts = [given.get("BERTH_GIT_HOSTS", ""), f"{HOST}=http://git:{PORT}"]
        given["BERTH_GIT_HOSTS"] = ",".join(filter(None, hosts))
