"""The weaknesses by which each way of `escapes.py` is open."""

from tests.e2e.weakened import Weakness, host, shell

UNFILTERED = ["no-new-privileges", "seccomp=unconfined"]
OURS = ["SETUID", "SETGID", "KILL"]
LISTEN = """python3 -c '
import os, socket, sys, time
family, place = sys.argv[1:]
if family == "unix":
    taking = socket.socket(socket.AF_UNIX)
    taking.bind(place.replace("@", chr(0)))
    place.startswith("@") or os.chmod(place, 0o777)
else:
    taking = socket.socket(socket.AF_INET)
    taking.bind(("0.0.0.0", int(place)))
taking.listen()
os.fork() and os._exit(0)
for descriptor in range(3):
    os.close(descriptor)
time.sleep(600)
' """

ABLE = """find /usr /bin /sbin -xdev -perm /6000 -exec chmod a-s {} + ; python3 -c '
import os, shutil, struct
shutil.copy("/usr/bin/cat", "/usr/bin/berth-able")
os.setxattr("/usr/bin/berth-able", "security.capability",
            struct.pack("<5I", 0x02000001, 1 << 7, 0, 0, 0))
' """
"""No program says any more that it is somebody else's; one has a power of its own."""

ESCAPES = [
    Weakness(name="no seccomp", check="calls", change=host(SecurityOpt=UNFILTERED)),
    Weakness(
        name="an administrator of the system",
        check="calls",
        change=host(CapAdd=[*OURS, "SYS_ADMIN"]),
        uid=0,
    ),
    Weakness(name="no seccomp", check="rings", change=host(SecurityOpt=UNFILTERED)),
    Weakness(name="raw sockets", check="families", change=host(CapAdd=[*OURS, "NET_RAW"]), uid=0),
    Weakness(name="no seccomp", check="spaces", change=host(SecurityOpt=UNFILTERED)),
    Weakness(
        name="an administrator of the system",
        check="spaces",
        change=host(CapAdd=[*OURS, "SYS_ADMIN"]),
        uid=0,
    ),
    Weakness(name="the kernel's switches", check="switches", change=host(ReadonlyPaths=[]), uid=0),
    Weakness(name="the kernel's own files", check="hidden", change=host(MaskedPaths=[])),
    Weakness(name="device nodes", check="nodes", change=host(CapAdd=[*OURS, "MKNOD"]), uid=0),
    Weakness(name="new privileges", check="gains", change=host(SecurityOpt=[])),
    Weakness(
        name="a program with a capability",
        check="gains",
        change=host(ReadonlyRootfs=False, SecurityOpt=[], CapAdd=[*OURS, "SETFCAP"]),
        prepare=shell(ABLE),
    ),
    Weakness(
        name="capabilities of files",
        check="grants",
        change=host(CapAdd=[*OURS, "SETFCAP"]),
        uid=0,
    ),
    Weakness(
        name="a root that can be written",
        check="lasting",
        change=host(ReadonlyRootfs=False),
        uid=0,
    ),
    Weakness(
        name="a place for all to write",
        check="lasting",
        change=host(ReadonlyRootfs=False),
        prepare=shell("mkdir -m 777 /etc/cron.d.all"),
    ),
    Weakness(
        name="the engine's socket",
        check="sockets",
        change=host(Binds=["/var/run/docker.sock:/var/run/docker.sock"]),
        uid=0,
    ),
    Weakness(
        name="an open socket", check="sockets", prepare=shell(f"{LISTEN} unix /tmp/open.sock")
    ),
    Weakness(
        name="a socket without a file", check="sockets", prepare=shell(f"{LISTEN} unix @open")
    ),
    Weakness(name="an open port", check="listeners", prepare=shell(f"{LISTEN} inet 2375")),
    Weakness(name="a bridge network", check="neighbours", change=host(NetworkMode="bridge")),
]
