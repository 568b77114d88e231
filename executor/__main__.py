"""`python -m executor`: one session's executor, on `executor.sock` in its control directory.

A session waits for it: docs/adr/0011-a-light-first-process.md tells what makes the start short.
"""

import gc
import sys

# It speaks on Unix sockets and pipes only. asyncio does without TLS where there is none, as in a
# Python that was built so.
_absent = "ssl" not in sys.modules
if _absent:
    sys.modules["ssl"] = None  # type: ignore[assignment]  # how what cannot be imported is marked

# What is loaded stays: there is nothing to collect while it is, nor to look through afterwards.
gc.disable()

from executor.process import main  # noqa: E402  # see above

gc.freeze()
gc.enable()

if _absent:
    del sys.modules["ssl"]

if __name__ == "__main__":
    sys.exit(main())
