"""Writes `docs/openapi.json`: the public API's description, as the control plane serves it.

`make openapi` runs it; the portal's types are generated from the file.
"""

from pathlib import Path

from control_plane.app import openapi_json

OPENAPI = Path(__file__).parent.parent / "docs" / "openapi.json"


if __name__ == "__main__":
    OPENAPI.write_bytes(openapi_json())
