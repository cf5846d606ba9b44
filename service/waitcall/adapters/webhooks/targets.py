"""Check that an address is public. Endpoints need a public address unless the policy allows a private one."""

import ipaddress

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""Range that IANA has opened for hosts. Loopback, link-local, site-local, unique local, multicast, v4-compatible and
translated addresses and the local NAT64 prefix are outside of it."""
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Parts of the global range that do not belong to hosts of the internet. ``is_global`` excludes most of them, but not in
# every version of Python.
_NOT_HOSTS_V6 = tuple(
    ipaddress.IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries any IPv4 address
        "3fff::/20",  # documentation
    )
)
_NOT_HOSTS_V4 = tuple(
    ipaddress.IPv4Network(each)
    for each in (
        "168.63.129.16/32",  # Azure's platform server, reachable from each of its machines
        "192.0.0.0/24",  # protocol assignments; metadata service of Oracle's cloud
        "192.88.99.0/24",  # relays of 6to4
    )
)
_ISATAP = 0x00005EFE
_ISATAP_MASK = 0xFDFFFFFF


def is_public(address: str) -> bool:
    """Tell whether an address belongs to a host of the public internet.

    IPv6 addresses that embed an IPv4 address as kernels and DNS64 resolvers do (``::ffff:0:0/96``, ``64:ff9b::/96``) are
    judged by that IPv4 address. Other embeddings are refused, and so is a text that is not an address.
    """
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(read, ipaddress.IPv4Address):
        return _is_public_v4(read)
    if read.scope_id is not None:
        return False
    if read in _MAPPED or read in _NAT64:
        return _is_public_v4(ipaddress.IPv4Address(int(read) & 0xFFFFFFFF))
    is_isatap = int(read) >> 32 & _ISATAP_MASK == _ISATAP
    return (
        read in _GLOBAL_UNICAST
        and read.is_global
        and not is_isatap
        and not any(read in network for network in _NOT_HOSTS_V6)
    )


def _is_public_v4(address: ipaddress.IPv4Address) -> bool:
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in _NOT_HOSTS_V4)
    )
