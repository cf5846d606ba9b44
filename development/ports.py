"""Ports of loopback for servers that must be told theirs beforehand."""

import atexit
import socket


def free_port() -> int:
    """Return a free port, and keep it for this process until it ends.

    A bound socket that never listens keeps the port: the kernel gives it to nobody who asks for any port and to no
    outgoing connection, while a server that sets SO_REUSEADDR (all do that are started here) can listen on it, again
    and again (Linux, inet_csk_get_port). Until then connections to it are refused.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    atexit.register(holder.close)
    return int(holder.getsockname()[1])
