"""Which IP addresses are anybody's on the internet, and which lead into a network of one's own."""

import ipaddress

_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
"""All that is given out so far."""
_INTO_V4 = tuple(ipaddress.IPv6Network(block) for block in ("2002::/16", "2001::/32"))
"""6to4, Teredo: they lead to an IPv4 address that they hold. Mapped and NAT64 are not global."""
_NOT_GLOBAL = (
    ipaddress.IPv4Network("192.0.0.0/24"),
    ipaddress.IPv4Network("192.88.99.0/24"),
    ipaddress.IPv6Network("3fff::/20"),
)
"""Of protocols, of 6to4 relays, of documents: the interpreter's own list has not all of them."""


def is_global(text: str) -> bool:
    """False as well for what is no address, and for those that wrap another one.

    Not global are private, shared (CGNAT), loopback, link-local (with clouds' metadata), unique
    local, multicast, reserved and documentation addresses.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if not address.is_global or address.is_multicast or any(address in b for b in _NOT_GLOBAL):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return True
    # a scope names an interface of this host
    plain = address in _GLOBAL_V6 and address.scope_id is None
    return plain and not any(address in block for block in _INTO_V4)
