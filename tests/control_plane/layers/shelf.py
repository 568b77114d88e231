"""The calls of one caller to the files of one project."""

from typing import Any
from uuid import UUID

from tests.fixtures.control_plane import Caller


def at(project_id: UUID, what: str) -> str:
    return f"/api/v1/projects/{project_id}/files/{what}"


class Files:
    def __init__(self, caller: Caller, project_id: UUID) -> None:
        self.http = caller.http
        self.project_id = project_id

    async def put(self, path: str, content: bytes = b"1", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = at(self.project_id, "file")
        return await self.http.put(url, params={"path": path}, content=content, headers=named)

    async def get(self, path: str, **headers: str) -> Any:
        url = at(self.project_id, "file")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.get(url, params={"path": path}, headers=named)

    async def tree(self, path: str = "", **query: Any) -> Any:
        return await self.http.get(at(self.project_id, "tree"), params={"path": path, **query})

    async def names(self, path: str = "") -> list[str]:
        return [one["path"] for one in (await self.tree(path)).json()["items"]]

    async def post(self, what: str, **body: Any) -> Any:
        return await self.http.post(at(self.project_id, what), json=body)

    async def delete(self, path: str, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = at(self.project_id, "file")
        return await self.http.delete(url, params={"path": path}, headers=named)

    async def rules(self, *rules: dict[str, str]) -> Any:
        return await self.http.put(at(self.project_id, "rules"), json={"rules": list(rules)})
