from tests.fixtures.object_store import object_store, object_store_server

__all__ = ["object_store", "object_store_server"]
