"""`python -m executor_manager.containers.try_sandbox [UID]`: why this host gives no sandbox, or
nothing.

For `berth doctor` where no manager of the process backend runs. UID: of executors, as root.
"""

import os
import sys
from pathlib import Path

from executor_manager.containers.places import Owner
from executor_manager.containers.sandbox import find


def main() -> None:
    uid = int(sys.argv[1]) if len(sys.argv) > 1 else None
    found = find(
        "auto",
        argv=(sys.executable,),
        environment={"PATH": os.defpath},
        owner=Owner(uid, uid),
        state_dir=Path("/nowhere"),
    )
    sys.stdout.write(found.lacking)


if __name__ == "__main__":
    main()
