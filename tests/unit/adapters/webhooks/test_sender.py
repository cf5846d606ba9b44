"""Addresses that webhooks may be sent to."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitcall.adapters.webhooks.sender import is_public

INSIDE_V4 = ("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.0.1")


@pytest.mark.parametrize(
    "address",
    [
        *INSIDE_V4,
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.9",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:224.0.0.1",
        "::ffff:0:127.0.0.1",
        "::ffff:0:8.8.8.8",
        "64:ff9b::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b::",
        "64:ff9b:1::1",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:0:53aa:64c::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2002:808:808::1",
        "2606:4700::5efe:7f00:1",
        "2606:4700::200:5efe:a00:1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "",
        "localhost",
        "127.1",
        "2130706433",
        "8.8.8.8%eth0",
        "[::1]",
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_hosts_of_the_internet_are_allowed_also_behind_dns64(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_ipv6_address_that_embeds_a_refused_ipv4_address_is_refused(
    inner: ipaddress.IPv4Address,
) -> None:
    number = int(inner)
    wrapped = [
        ipaddress.IPv6Address(prefix << shift | number << place)
        for prefix, shift, place in (
            (0, 32, 0),
            (0xFFFF, 32, 0),
            (0xFFFF, 48, 0),
            (0x64FF9B, 96, 0),
            (0x64FF9B0001, 80, 0),
            (0x2002, 112, 80),
            (0x20010000, 96, 0),
            (0x2606470000000000 << 32 | 0x5EFE, 32, 0),
        )
    ]
    assert is_public(str(inner)) or not any(is_public(str(each)) for each in wrapped)
