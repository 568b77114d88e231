"""The base of every type that travels: frozen, keyword-only, unknown fields ignored."""

from typing import Annotated, NewType
from uuid import UUID

import msgspec

ProjectId = NewType("ProjectId", UUID)
UserId = NewType("UserId", UUID)
SessionId = NewType("SessionId", UUID)
TaskId = NewType("TaskId", UUID)
RunId = NewType("RunId", UUID)
WorkerId = NewType("WorkerId", UUID)
ManagerId = NewType("ManagerId", UUID)
CommandId = NewType("CommandId", UUID)
RequestId = NewType("RequestId", UUID)
SnapshotId = NewType("SnapshotId", UUID)
AppId = NewType("AppId", UUID)
KeyId = NewType("KeyId", UUID)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""A name or title that a person typed."""

PromptText = Annotated[str, msgspec.Meta(min_length=1, max_length=400_000)]
"""A prompt, in characters."""

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Md5Base64 = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9+/]{22}==$")]


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Read by services of another version: fields are only added, with defaults.

    Unknown ones are ignored.
    """


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public request body: an unknown field is an error that names it."""


class Empty(Wire, frozen=True, kw_only=True):
    """A body with nothing in it."""
