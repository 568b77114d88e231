"""How a workspace's files are changed, described by hand: the gateway answers that by itself. How
they are read the control plane's own handlers say.
"""

from collections.abc import Callable
from typing import Any

from contracts.workspace_files import (
    DeletedPath,
    MakeDirectory,
    RenamePath,
    UploadedFiles,
    WorkspaceEntry,
    WrittenFile,
)

PLACE = "/api/v1/session-workers/{session_id}/workspace"
BYTES, JSON, TAR = "application/octet-stream", "application/json", "application/x-tar"

Schema = Callable[[Any], dict[str, Any]]

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_NOWHERE = " 409 `workspace_read_only` while no worker runs."


def _parameter(
    name: str, said: str, *, place: str = "query", required: bool = False, kind: str = "string"
) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": said,
        "schema": {"type": kind},
    }


_SESSION = {
    "name": "session_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
_PATH = _parameter("path", "Relative to the workspace; no link is followed", required=True)
_ESCAPED = _parameter(
    "escaped", "The path is percent-escaped bytes, as it was told", kind="boolean"
)
_MATCH = _parameter(
    "If-Match", "409 `version_conflict` if it is another one by now", place="header"
)


def file_paths(schema: Schema, problem: dict[str, Any]) -> dict[str, dict[str, Any]]:
    def answer(status: str, kind: type) -> dict[str, Any]:
        content = {JSON: {"schema": schema(kind)}}
        described = {"description": kind.__name__, "content": content}
        return {"responses": {status: described, "default": problem}}

    def sent(kind: type, example: dict[str, Any]) -> dict[str, Any]:
        content = {JSON: {"schema": schema(kind), "example": example}}
        return {"requestBody": {"required": True, "content": content}}

    return {
        f"{PLACE}/file": {
            "put": {**_put(), **answer("200", WrittenFile)},
            "delete": {**_delete(), **answer("200", DeletedPath)},
        },
        f"{PLACE}/upload": {"post": {**_upload(), **answer("201", UploadedFiles)}},
        f"{PLACE}/rename": {
            "post": {
                **_named("rename_workspace_path", "Moves a file or directory."),
                **sent(RenamePath, {"from": "draft.md", "to": "docs/final.md"}),
                **answer("200", WorkspaceEntry),
            }
        },
        f"{PLACE}/mkdir": {
            "post": {
                **_named("make_workspace_directory", "Makes a directory."),
                **sent(MakeDirectory, {"path": "docs/images", "parents": True}),
                **answer("201", WorkspaceEntry),
            }
        },
    }


def _named(name: str, said: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": ["session-workers"],
        "description": said + _NOWHERE,
        "parameters": [_SESSION],
    }


def _put() -> dict[str, Any]:
    said = (
        "Writes one file: beside the one that is there, which it then replaces in one step. "
        "Directories above it are made. 201 for one that was not there."
    )
    only_new = _parameter("If-None-Match", "`*`: only if there is none", place="header")
    return {
        **_named("put_workspace_file", said),
        "parameters": [_SESSION, _PATH, _ESCAPED, _MATCH, only_new],
        "requestBody": {"required": True, "content": {BYTES: _BINARY}},
    }


def _delete() -> dict[str, Any]:
    recursive = _parameter("recursive", "A directory with all that is in it", kind="boolean")
    return {
        **_named("delete_workspace_path", "Deletes a file, a link, or a directory."),
        "parameters": [_SESSION, _PATH, _ESCAPED, recursive, _MATCH],
    }


def _upload() -> dict[str, Any]:
    said = (
        "Files of a form, into the directory `path`; or a tree as an uncompressed tar archive, all "
        "of it or nothing: an entry that leads out refuses it by its name. Any other body is the "
        "file at `path`."
    )
    place = {**_PATH, "required": False}
    form = {"schema": {"type": "object", "additionalProperties": _BINARY["schema"]}}
    return {
        **_named("upload_workspace_files", said),
        "parameters": [_SESSION, place, _ESCAPED],
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": form, TAR: _BINARY, BYTES: _BINARY},
        },
    }
