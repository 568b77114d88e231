"""Which addresses a tunnel may lead to: public ones, and those of networks that the operator names.

The lists are those of the IANA special-purpose registries, and written out: what an interpreter
takes for global has changed between its versions.
"""

from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NEVER: Sequence[Network] = [
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
        # metadata and the host's own services, where they are not link-local
        *("168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::254/128"),
        *("fd20:ce::254/128", "::/128", "fe80::/10", "fec0::/10", "ff00::/8"),
        # an IPv4 address in another coat: mapped, translated, NAT64, Teredo, 6to4
        *("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"),
        *("2001::/32", "2002::/16"),
    )
]
"""Whatever networks the operator names."""

_NOT_PUBLIC: Sequence[Network] = [
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24"),
        *("2001::/23", "2001:db8::/32", "3fff::/20"),
    )
]

_PUBLIC_V6 = IPv6Network("2000::/3")
"""All of IPv6 that is given out at all (RFC 4291); the rest is loopback, local, or not assigned."""


def may_dial(address: Address, own: Iterable[Network]) -> bool:
    """`own`: networks of the operator's."""
    if _is_scoped(address) or _in(address, _NEVER):
        return False
    if _in(address, own):
        return True
    if isinstance(address, IPv6Address) and address not in _PUBLIC_V6:
        return False
    return not _in(address, _NOT_PUBLIC)


def _is_scoped(address: Address) -> bool:
    return isinstance(address, IPv6Address) and address.scope_id is not None


def _in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
