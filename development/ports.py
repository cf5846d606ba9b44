"""Ports of loopback: the usual ones of the stack, moved ones, and free ones for servers that must know theirs at their start."""

import atexit
import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields

from development.processes import StartFailed

_LOWEST, _HIGHEST = 1024, 65535
_BASES = range(18_080, 60_000, 10_000)


@dataclass(frozen=True)
class Ports:
    """Ports of the stack's servers and of the examples."""

    api: int = 8080
    callback: int = 8081
    control: int = 8082
    provider: int = 8083
    login: int = 8085
    reset: int = 8086
    ops: int = 9090
    worker_ops: int = 9091

    @classmethod
    def free(cls) -> "Ports":
        """Choose free ports, and keep them for this process until it ends."""
        return cls(*(free_port() for _ in fields(cls)))

    @classmethod
    def given(cls, base: str | None) -> "Ports":
        """Return the usual ports, or all of them moved so that the API's is ``base``."""
        return cls(**moved(vars(cls()), base))


def moved(usual: Mapping[str, int], base: str | None) -> dict[str, int]:
    """Move ports by the distance between ``base`` and the API's usual port.

    Raises:
        StartFailed: ``base`` is not a number, or a port would be outside 1024 to 65535.
    """
    if not base:
        return dict(usual)
    lowest = Ports.api + _LOWEST - min(usual.values())
    highest = Ports.api + _HIGHEST - max(usual.values())
    if not (base.isascii() and base.isdigit() and lowest <= int(base) <= highest):
        raise StartFailed(f"PORT_BASE must be a number from {lowest} to {highest}.")
    return {name: port + int(base) - Ports.api for name, port in usual.items()}


def check_free(ports: Mapping[str, int]) -> None:
    """Look at all ports before anything starts.

    Raises:
        StartFailed: some cannot be listened on. The message names all of them, and a PORT_BASE that is free.
    """
    found = {name: why for name, port in ports.items() if (why := _refused(port))}
    if not found:
        return
    named = ", ".join(f"{ports[name]} ({name}: {why})" for name, why in found.items())
    free = [
        base for base in _BASES if not any(_refused(port + base - ports["api"]) for port in ports.values())
    ]
    raise StartFailed(
        f"Nothing was started, because these ports cannot be used: {named}.\n"
        f"Stop what listens there, or add PORT_BASE={(free or _BASES)[0]}, which moves every port by the same distance."
    )


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


def _refused(port: int) -> str | None:
    """Return why a server could not listen on the port, or None. A listener on all addresses takes the port, too."""
    if not 0 < port <= _HIGHEST:
        return "out of range"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return "in use" if error.errno == errno.EADDRINUSE else str(error.strerror)
    return None
