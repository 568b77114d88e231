"""`python -m executor`: one session's executor, on `executor.sock` in its control directory."""

import sys

# It speaks on Unix sockets and pipes only. asyncio does without TLS where there is none, as in a
# Python that was built so; loading it would be a tenth of the start.
_absent = "ssl" not in sys.modules
if _absent:
    sys.modules["ssl"] = None  # type: ignore[assignment]  # how what cannot be imported is marked

from executor.process import main  # noqa: E402  # see above

if _absent:
    del sys.modules["ssl"]

if __name__ == "__main__":
    sys.exit(main())
