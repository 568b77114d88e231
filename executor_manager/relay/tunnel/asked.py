"""What a `CONNECT` asks for: read once, as the bytes that came in. What two readers could read
differently is refused, and never brought into another form.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from contracts.egress import EgressHost
from executor_manager.relay.tunnel.refusals import TunnelRefused

SHOWN = 253
"""Characters of a target that could not be read: as many as a name may have."""

_LINE = re.compile(r"CONNECT ([\x21-\x7e]+) HTTP/1\.[01]")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)+(?![0-9]){_LABEL}")
_NUMBER = r"(?:0[xX][0-9a-fA-F]*|[0-9]+)"
_ADDRESS = re.compile(
    rf"\[.*|[0-9a-fA-F.]*:[0-9a-fA-F:.]*(?:%.*)?|{_NUMBER}(?:\.{_NUMBER}){{0,3}}\.?"
)
"""Any form that some resolver takes for an address: `0x7f.1`, `017700000001`, `[::1]`."""
_PORT = re.compile(r"[1-9][0-9]{0,4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    host: str
    port: int


def read_connect(head: bytes) -> Asked:
    """`head` up to its empty line. Raises `TunnelRefused`."""
    first, *rest = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    line = _LINE.fullmatch(first)
    if line is None:
        raise TunnelRefused("malformed", host=_printable(first.removeprefix("CONNECT ")))
    asked = _read_target(line[1])
    if (rule := _wrong_fields(rest, asked)) is not None:
        raise TunnelRefused(rule, host=asked.host, port=asked.port)
    return asked


def check_allowed(asked: Asked, hosts: Iterable[EgressHost]) -> None:
    """Raises `TunnelRefused`."""
    named = [some for some in hosts if _names(some.host, asked.host)]
    if not any(some.port == asked.port for some in named):
        rule = "port_not_allowed" if named else "host_not_allowed"
        raise TunnelRefused(rule, host=asked.host, port=asked.port)


def _read_target(target: str) -> Asked:
    host, _, port = target.rpartition(":")
    if "@" in target:
        # a name may hold what is secret, and comes before it
        raise TunnelRefused("userinfo", host=_printable(target.rpartition("@")[2]))
    if not _HOST.fullmatch(host) or len(host) > SHOWN:
        rule = "ip_literal" if _ADDRESS.fullmatch(host) else "not_a_host_name"
        raise TunnelRefused(rule, host=_printable(target))
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise TunnelRefused("not_a_port", host=_printable(target))
    return Asked(host=host, port=int(port))


def _wrong_fields(lines: Iterable[str], asked: Asked) -> str | None:
    """The rule that forbids one of them."""
    hosts: list[str] = []
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            return "malformed"
        name, value = field[1].lower(), field[2].strip(" \t")
        if name == "transfer-encoding" or (name == "content-length" and value != "0"):
            return "body"
        if name == "host":
            hosts.append(value)
    # some clients send none, some leave the port out; another name is one too many
    if len(hosts) > 1 or not {asked.host, f"{asked.host}:{asked.port}"}.issuperset(hosts):
        return "host_mismatch"
    return None


def _names(rule: str, host: str) -> bool:
    return host.endswith(rule[1:]) if rule.startswith("*.") else host == rule


def _printable(text: str) -> str:
    return "".join(c if "\x20" <= c < "\x7f" else "?" for c in text[:SHOWN])
