"""What an abusing session runs: each ends by itself, and prints at what it was stopped."""

import shlex


def _python(source: str) -> str:
    return f"python3 -c {shlex.quote(source)}"


FORKS = _python("""
import os, time
ends, refused, first = time.time() + 6, 0, os.getpid()
while time.time() < ends:
    try:
        os.fork()
    except OSError:
        refused += 1
        time.sleep(0.01)
if os.getpid() == first:
    print("forks refused", refused)
""")
THREADS = _python("""
import threading, time
count = 0
try:
    while count < 100_000:
        threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
        count += 1
except RuntimeError:
    print("threads refused after", count)
""")
MEMORY = _python("""
held = []
while True:
    held.append(b"x" * 10_000_000)
""")
OFFER = """
import os
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        words = open("/proc/" + name + "/cmdline").read().split("\\0")
        if "executor" in words and "-m" in words:
            open("/proc/" + name + "/oom_score_adj", "w").write("1000")
            print(name)
"""
"""As the container's root: the executor is the first that the kernel ends."""
FILL_MEMORY = (
    "for place in /dev/shm /tmp /home/agent; do head -c 500M /dev/zero > $place/filler; done"
)
MEMORY_FILES = (
    "for place in /dev/shm /tmp /home/agent; do"
    " head -c 500M /dev/zero > $place/filler; rm -f $place/filler; done"
)
PAGE_CACHE = (
    "head -c 256M /dev/zero > large && for n in 1 2 3; do cat large > /dev/null || exit 1; done;"
    " rm large; echo read it all"
)
DISK = "head -c 200M /dev/zero > filler; head -c 1M /dev/zero > /filler; true"
FILES = "i=0; while [ $i -lt 2000000 ]; do : > f$i || break; i=$((i+1)); done; true"
PROCESSORS = (
    "for n in 1 2 3 4 5 6 7 8; do"
    " timeout 6 nice -n -20 sh -c 'while :; do :; done' & done; wait; true"
)
SOCKETS = _python("""
import socket
held = []
try:
    while len(held) < 1_000_000:
        held.append(socket.socket())
except OSError as error:
    count = len(held)
    held.clear()
    print("sockets refused after", count, error)
""")
DAEMON_MARK = "berth-daemon"
_LIVES = f"sh -c 'echo up > up; while :; do sleep 1; done' {DAEMON_MARK}"
DAEMON = (
    f"(trap '' TERM INT HUP; setsid {_LIVES} &) > /dev/null 2>&1;"
    " until [ -s up ]; do sleep 0.05; done"
)
"""Forked twice, deaf to signals, in a session of its own."""
