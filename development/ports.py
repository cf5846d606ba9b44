"""Free ports of loopback, for servers whose port must be known before they start."""

import atexit
import socket


def free_port() -> int:
    """Return a free port, and keep it for this process until it ends.

    A bound socket that never listens keeps the port. The kernel does not give it to a process that asks for any port, nor
    to an outgoing connection. But a server that sets SO_REUSEADDR can listen on it, more than once (Linux,
    inet_csk_get_port), and all servers that are started here do. Until then connections to the port are refused.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    atexit.register(holder.close)
    return int(holder.getsockname()[1])
