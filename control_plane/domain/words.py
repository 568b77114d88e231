"""What comes from inside a session on its way into a column of its own."""

MAX_BIGINT = 2**63 - 1


def storable(text: str) -> str:
    """Postgres text cannot hold NUL. Inside JSON it stays as it is, escaped."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def countable(number: int) -> int:
    """A count that a bigint holds."""
    return max(0, min(number, MAX_BIGINT))
