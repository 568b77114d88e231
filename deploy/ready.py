#!/opt/venv/bin/python3 -ISB
"""`ready PORT|SOCKET [PATH]`: exits 0 when `GET PATH` (by default /readyz) is answered with 200.

For healthchecks, every few seconds: only what starts fast is imported.
"""

import socket
import sys

SECONDS = 4.0


def main(place: str, path: str = "/readyz") -> int:
    family = socket.AF_INET if place.isdecimal() else socket.AF_UNIX
    address = ("127.0.0.1", int(place)) if place.isdecimal() else place
    try:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(SECONDS)
            connection.connect(address)
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            answer = connection.makefile("rb").read()
    except OSError as error:
        sys.stderr.write(f"{place}: {error}\n")
        return 1
    head, _, body = answer.partition(b"\r\n\r\n")
    sys.stdout.write(body.decode(errors="replace")[:1000] + "\n")
    return 0 if head.split(b" ")[1:2] == [b"200"] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
