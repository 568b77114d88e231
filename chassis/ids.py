"""Ids: unique, and near one another in time so that indexes stay dense; they order nothing."""

from uuid import UUID

import uuid_utils


def new_id() -> UUID:
    """A UUIDv7."""
    return UUID(int=uuid_utils.uuid7().int)
