"""What agents the stand-in offers."""

import json
import sys

missing = {"what": "node", "how": "install it"}
offers = [{"agent": "scripted", "missing": None}, {"agent": "codex", "missing": missing}]
sys.stdout.write(json.dumps(offers))
