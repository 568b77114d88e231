"""Named queries: `-- name: claim_heads` begins one; the comment lines that follow describe it."""

from importlib import resources
from types import MappingProxyType


def load(noun: str) -> MappingProxyType[str, str]:
    """The queries of `sql/queries/<noun>.sql` by name; a name stands once."""
    text = (resources.files("sql") / "queries" / f"{noun}.sql").read_text(encoding="utf-8")
    queries: dict[str, str] = {}
    for part in text.split("-- name: ")[1:]:
        head, _, body = part.partition("\n")
        name = head.strip()
        if name in queries:
            raise ValueError(f"{noun}.sql names {name!r} twice")
        queries[name] = body.strip()
    return MappingProxyType(queries)
