"""Writes `openapi.json`: the public API's description, as the control plane serves it.

`make openapi` runs it; the portal's types are generated from the file.
"""

import json
from pathlib import Path

from control_plane.app import openapi_json

OPENAPI = Path(__file__).parent.parent / "openapi.json"


def render() -> str:
    return json.dumps(json.loads(openapi_json()), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    OPENAPI.write_text(render(), encoding="utf-8")
