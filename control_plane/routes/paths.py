"""An endpoint's path as Litestar writes it: its ids are UUIDs."""

from typing import Any

from contracts.endpoint import Endpoint


def litestar_path(endpoint: Endpoint[Any, Any]) -> str:
    return endpoint.path.replace("_id}", "_id:uuid}")
