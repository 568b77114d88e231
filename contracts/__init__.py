"""What crosses a boundary between services: wire types, events, error codes, endpoints.

Imports the standard library and msgspec only.
"""
