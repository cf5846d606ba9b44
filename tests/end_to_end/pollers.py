"""Poll one page over many connections, each again as soon as it is answered or cut off.

Usage: ``python -m tests.end_to_end.pollers PORT PATH CONNECTIONS PAUSE_SECONDS``

The program prints ``open`` once every connection has sent a request, and runs until its standard input ends.
"""

import resource
import sys

import gevent
import gevent.os
from gevent import socket


class Crowd:
    def __init__(self, port: int, path: str, pause: float) -> None:
        self._port = port
        self._asked = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        self._pause = pause
        self.opened: set[int] = set()

    def poll(self, index: int) -> None:
        """Poll for ever, and connect again whenever the connection ends."""
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self._port)) as connection:
                    connection.sendall(self._asked)
                    self.opened.add(index)
                    while connection.recv(65536):
                        gevent.sleep(self._pause)
                        connection.sendall(self._asked)
            except OSError:
                gevent.sleep(0.01)


def main() -> None:
    port, path, count, pause = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2 * count + 100, most), most))
    crowd = Crowd(port, path, pause)
    for index in range(count):
        gevent.spawn(crowd.poll, index)
    while len(crowd.opened) < count:
        gevent.sleep(0.05)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    gevent.os.tp_read(0, 1)


if __name__ == "__main__":
    main()
