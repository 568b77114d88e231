"""What can be wrong with a stored snapshot.

Unusable                `reason` is a stable name: this snapshot cannot be read as it is
├── Corrupt             its bytes are not what was saved
└── BadPath             a path that leads out of its tree
"""


class Unusable(Exception):
    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Corrupt(Unusable):
    def __init__(self, detail: str) -> None:
        super().__init__("corrupt", detail)


class BadPath(Unusable):
    def __init__(self, path: bytes) -> None:
        super().__init__("unsafe_path", repr(path[:300]))
