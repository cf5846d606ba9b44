"""Visitors without manners: many connections that poll one page, each again as soon as it is answered or cut off.

python -m tests.end_to_end.pollers PORT PATH CONNECTIONS

Says ``open`` once every connection has been made, and ends with its parent's pipe.
"""

import resource
import sys

import gevent
import gevent.monkey
from gevent import socket


def poll(port: int, asked: bytes, opened: list[int]) -> None:
    """Poll for ever."""
    first = True
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                if first:
                    opened.append(1)
                    first = False
                while True:
                    connection.sendall(asked)
                    if not connection.recv(65536):
                        break
        except OSError:
            gevent.sleep(0.01)


def main() -> None:
    port, path, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2 * count + 100, most), most))
    asked = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    opened: list[int] = []
    for _ in range(count):
        gevent.spawn(poll, port, asked, opened)
    while len(opened) < count:
        gevent.sleep(0.05)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    gevent.os.tp_read(0, 1)


if __name__ == "__main__":
    main()
