"""What can go wrong with a workspace.

WorkspaceError          `reason` is a stable name, for steps and reports
├── SaveFailed          nothing was committed; the former snapshot stands
├── RestoreFailed       this snapshot cannot be restored; nothing of it is shown as ready
│   └── Corrupt         its bytes are not what was saved
└── UnsafePath          a path that leads out of the workspace, or through a link
"""

import errno

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_full(error: BaseException) -> bool:
    """There is no space for it, or no inode."""
    return isinstance(error, OSError) and error.errno in _FULL


def told(error: BaseException) -> str:
    """To a person: what failed, and what to do where something can be done."""
    if isinstance(error, WorkspaceError):
        return str(error)
    if is_full(error):
        return "disk_full: no space is left: raise the session's disk_mib, or delete some files"
    if isinstance(error, TimeoutError):
        return "deadline: it was not done in time"
    return f"disk_error: {error.strerror if isinstance(error, OSError) else error}"


class WorkspaceError(Exception):
    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class SaveFailed(WorkspaceError):
    @property
    def permanent(self) -> bool:
        """The workspace itself is beyond a limit: trying again changes nothing."""
        return self.reason in {"too_large", "too_many_entries", "object_too_large"}


class RestoreFailed(WorkspaceError):
    pass


class Corrupt(RestoreFailed):
    def __init__(self, detail: str) -> None:
        super().__init__("corrupt", detail)


class UnsafePath(WorkspaceError):
    def __init__(self, detail: str) -> None:
        super().__init__("unsafe_path", detail)
