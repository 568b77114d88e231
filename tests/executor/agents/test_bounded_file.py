"""The agent's standard error is read to its end, whatever the disk says."""

from pathlib import Path

from executor.agents.process import BoundedFile


def test_bounded_file__a_full_disk_loses_the_log_and_no_more() -> None:
    log = BoundedFile(Path("/dev/full"))
    log.write(b"e" * 1000)
    log.write(b"e" * 1000)
    log.close()
