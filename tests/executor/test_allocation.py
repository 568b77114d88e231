"""Memory of packs is used again while they come and go, and is the kernel's again at the end."""

import subprocess
import sys

PIECES = 24
PROGRAM = """
import resource
import sys
from contextlib import nullcontext
from pathlib import Path
from executor.allocation import given_back, keep_for_packs
ours = sys.argv[1] == "ours"
if ours:
    assert keep_for_packs()
def taken():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) // 1024
def pieces():
    # packs, with what stays between them
    return [(bytes([1]) * (4 << 20), bytes([1]) * 2000) for _ in range(int(sys.argv[2]))]
before = taken()
with given_back() if ours else nullcontext():
    kept = [small for _, small in pieces()]
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    kept += [small for _, small in pieces()]
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
print(taken() - before, faults)
"""


def left(whose: str) -> tuple[int, int]:
    """MiB more than before when the large pieces are freed, and pages that the second time cost."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, whose, str(PIECES)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    mib, faults = ran.stdout.split()
    return int(mib), int(faults)


def test_freed_memory__is_used_again_and_does_not_stay() -> None:
    mib, faults = left("ours")
    assert mib < 8
    _, faults_of_the_library = left("the library's")
    assert faults * 2 < faults_of_the_library
