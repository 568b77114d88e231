"""Which addresses a name may lead to."""

from ipaddress import ip_address, ip_network

import pytest

from chassis.settings import SettingsError, load
from executor_manager.relay.settings import Settings
from executor_manager.relay.tunnel.addresses import may_dial

PUBLIC = ["1.1.1.1", "8.8.8.8", "151.101.0.223", "100.63.255.255", "100.128.0.0", "172.32.0.1"]
PUBLIC_V6 = ["2606:4700:4700::1111", "2a00:1450:4001::8a", "2001:200::1"]

REFUSED = [
    *("0.0.0.1", "0.1.2.3", "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1"),
    *("172.31.255.255", "192.168.1.1", "169.254.169.254", "169.254.0.1", "100.64.0.1"),
    *("100.127.255.255", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1"),
    *("198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "192.88.99.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fe80::1%eth0", "2606:4700::1%1", "fec0::1", "fc00::1"),
    *("fd00:ec2::254", "fd12:3456::1", "ff02::1", "2001:db8::1", "3fff::1", "100::1"),
    *("::ffff:127.0.0.1", "::ffff:1.1.1.1", "::ffff:0:127.0.0.1", "::127.0.0.1"),
    *("64:ff9b::7f00:1", "64:ff9b::101:101", "64:ff9b:1::1", "2002:7f00:1::", "2002:101:101::1"),
    *("2001:0:4136:e378::1", "2001:10::1", "5f00::1", "4000::1"),
]


def test_public_addresses__pass() -> None:
    assert all(may_dial(ip_address(text), []) for text in PUBLIC + PUBLIC_V6)


@pytest.mark.parametrize("text", REFUSED)
def test_all_others__are_refused(text: str) -> None:
    assert not may_dial(ip_address(text), [])


def test_the_operators_own_networks__pass_but_never_what_is_never_a_host() -> None:
    own = [ip_network(text) for text in ("0.0.0.0/0", "::/0")]
    for text in ("10.0.0.1", "127.0.0.1", "::1", "fd12:3456::1", "100.64.0.1"):
        assert may_dial(ip_address(text), own)
        assert not may_dial(ip_address(text), [ip_network("10.9.0.0/16")])
    for text in (
        *("169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fe80::1"),
        *("::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "224.0.0.1", "0.0.0.1", "::"),
    ):
        assert not may_dial(ip_address(text), own)


def test_networks__are_checked_at_start() -> None:
    environ = {"BERTH_RELAY_DIR": "/nowhere", "BERTH_RELAY_TUNNEL_NETWORKS": "10.0.0.1/8"}
    with pytest.raises(SettingsError, match=r"BERTH_RELAY_TUNNEL_NETWORKS.*10\.1\.0\.0/16"):
        load(Settings, environ=environ)
