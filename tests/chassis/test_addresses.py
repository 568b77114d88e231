"""Which addresses are the internet's."""

import pytest

from chassis.addresses import is_global

OWN = [
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1",
    "127.8.8.8", "0.0.0.0", "0.1.2.3", "100.64.0.1",  # noqa: S104 # bound to nothing
    "100.127.255.254", "169.254.169.254", "169.254.0.1", "192.0.0.1", "192.0.2.1",
    "192.88.99.1", "198.18.0.1", "198.51.100.7",
    "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "168.63.0",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1",
    "fd00:ec2::254", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1",
    "100::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::1", "2002:a00:1::", "2001:0:4136:e378::1", "3fff::1", "5f00::1",
    "2606:4700::1111%1",
    "localhost", "127.1", "0x7f.0.0.1", "2130706433", "1.1.1.1/32",
]  # fmt: skip


@pytest.mark.parametrize("address", [*OWN, "", " 1.1.1.1"])
def test_address__that_is_not_the_internets(address: str) -> None:
    assert not is_global(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "140.82.112.3", "172.32.0.1", "100.128.0.1", "2606:4700::1111"]
)
def test_address__of_the_internet(address: str) -> None:
    assert is_global(address)
