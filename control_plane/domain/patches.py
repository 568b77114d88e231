"""One path's change as git writes it in a patch: heads around the hunks. Pure."""

from contracts.differences import ChangedSide, TreeKind
from control_plane.domain.differences import unified

_ESCAPES = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r", 0x22: '\\"', 0x5C: "\\\\"}


def patch(
    path: bytes,
    before: tuple[ChangedSide, str] | None,
    after: tuple[ChangedSide, str] | None,
) -> str:
    """With a file where a link was, one goes and one comes. Raises `TooDifferent`."""
    if before and after and (before[0].kind is TreeKind.LINK) != (after[0].kind is TreeKind.LINK):
        return patch(path, before, None) + patch(path, None, after)
    names = _quoted(b"a/" + path), _quoted(b"b/" + path)
    lines = [f"diff --git {names[0]} {names[1]}", *_modes(before, after)]
    hunks = unified(before[1] if before else "", after[1] if after else "")
    if hunks:
        lines.append(f"--- {_name(names[0]) if before else '/dev/null'}")
        lines.append(f"+++ {_name(names[1]) if after else '/dev/null'}")
    return "\n".join(lines) + "\n" + hunks


def _modes(
    before: tuple[ChangedSide, str] | None, after: tuple[ChangedSide, str] | None
) -> list[str]:
    if before is None:
        return [f"new file mode {_mode(after[0])}"] if after else []
    if after is None:
        return [f"deleted file mode {_mode(before[0])}"]
    old, new = _mode(before[0]), _mode(after[0])
    return [f"old mode {old}", f"new mode {new}"] if old != new else []


def _mode(side: ChangedSide) -> str:
    """Git knows no others."""
    if side.kind is TreeKind.LINK:
        return "120000"
    return "100755" if side.mode & 0o111 else "100644"


def _quoted(name: bytes) -> str:
    if all(0x20 <= byte < 0x7F and byte not in _ESCAPES for byte in name):
        return name.decode()
    return '"' + "".join(_escaped(byte) for byte in name) + '"'


def _escaped(byte: int) -> str:
    if byte in _ESCAPES:
        return _ESCAPES[byte]
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"


def _name(quoted: str) -> str:
    """A name with spaces ends at a tab, or a time would be looked for in it."""
    return f"{quoted}\t" if " " in quoted and not quoted.startswith('"') else quoted
