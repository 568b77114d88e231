"""Lists that the API gives in pages."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol, TypeVar

from cli.client import ApiClient

MOST = 200
"""What a page can hold."""

ItemT_co = TypeVar("ItemT_co", covariant=True)


class Page(Protocol[ItemT_co]):
    @property
    def items(self) -> Sequence[ItemT_co]: ...

    @property
    def next_cursor(self) -> str | None: ...


P = TypeVar("P", bound=Page[object])
T = TypeVar("T")


async def pages(
    client: ApiClient, path: str, page: type[P], /, **query: object
) -> AsyncGenerator[P]:
    """`limit` in the query is of a page."""
    cursor: str | None = None
    while True:
        found = await client.get(path, page, **{"limit": MOST, **query, "cursor": cursor})
        yield found
        if (cursor := found.next_cursor) is None:
            return


async def items(
    client: ApiClient, path: str, page: type[Page[T]], /, **query: object
) -> AsyncGenerator[T]:
    async for found in pages(client, path, page, **query):
        for one in found.items:
            yield one
