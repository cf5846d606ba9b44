"""Addresses to listen on, made from the text of a setting such as `WAITCALL_API_BIND`."""

import socket

EVERY_IPV6, EVERY_IPV4 = "::", "0.0.0.0"  # nosec B104  # the operator chooses the address


def listener(bind: str) -> tuple[str, int]:
    """Return the address and the port to listen on.

    A host name becomes its address, IPv4 if it has both. ``[::]`` takes IPv4 connections too, and becomes ``0.0.0.0`` where
    the kernel has no IPv6.

    Raises:
        OSError: the name has no address.
    """
    name, _, text = bind.rpartition(":")
    host, port = name.removeprefix("[").removesuffix("]"), int(text)
    if host == EVERY_IPV6:
        return (EVERY_IPV6 if socket.has_dualstack_ipv6() else EVERY_IPV4), port
    found = {each[0]: str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    return found.get(socket.AF_INET) or found[socket.AF_INET6], port


def family_of(address: str) -> socket.AddressFamily:
    """Return the family of an address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def gunicorn_bind(bind: str) -> str:
    """Return the text by which gunicorn knows the same listener."""
    address, port = listener(bind)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
