"""Text from inside a session on its way into a column of its own."""


def storable(text: str) -> str:
    """Postgres text cannot hold NUL. Inside JSON it stays as it is, escaped."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
