"""Headers under which a browser may be shown what an agent wrote: as little as possible of it."""

from urllib.parse import quote

IMAGES = {
    "avif": "image/avif",
    "bmp": "image/bmp",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
}
"""None that may hold a script: no SVG."""

TEXTS = {
    *("bash", "c", "cc", "cfg", "conf", "cpp", "cs", "css", "csv", "diff", "env", "go", "h", "hpp"),
    *("ini", "java", "js", "json", "jsonl", "kt", "lock", "log", "lua", "md", "mjs", "patch"),
    *("php", "pl", "py", "r", "rb", "rs", "rst", "sh", "sql", "toml", "ts", "tsv", "tsx", "txt"),
    *("vue", "yaml", "yml", "zig"),
}
"""Shown as text, which with `nosniff` they stay; of HTML and XML nothing is shown."""

PLAIN_NAMES = frozenset(
    {"dockerfile", "license", "makefile", "readme", "changelog", ".gitignore", ".berthignore"}
)
BYTES = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"
FALLBACK = "file"

INERT = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, no-store",
}


def preview_headers(path: bytes, *, inline: bool) -> dict[str, str]:
    """An attachment, unless `inline` is asked for and its name says that it is safe to show."""
    kind = safe_type(path) if inline else None
    disposition = "inline" if kind else "attachment"
    return {
        "content-type": kind or BYTES,
        "content-disposition": f"{disposition}; {_named(path)}",
        **INERT,
    }


def safe_type(path: bytes) -> str | None:
    """By its name alone: what is in it may be made to look like anything."""
    name = path.rpartition(b"/")[2].decode(errors="replace").lower()
    extension = name.rpartition(".")[2] if "." in name else ""
    if extension in IMAGES:
        return IMAGES[extension]
    return TEXT if extension in TEXTS or name in PLAIN_NAMES else None


def _named(path: bytes) -> str:
    """RFC 6266: a plain name for old readers, the real one as RFC 5987 has it."""
    name = path.rstrip(b"/").rpartition(b"/")[2].decode("utf-8", "replace")
    plain = "".join(char if _is_plain(char) else "_" for char in name) or FALLBACK
    return f"filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _is_plain(char: str) -> bool:
    return char.isascii() and char.isprintable() and char not in '"\\%'
