"""Flood the public listener with the worst bodies for every parser, from a process of its own.

python -m benchmarks.crowd PORT CONNECTIONS

It sends until its standard input ends, then prints how many requests were answered, by status.
"""

import sys
from collections import Counter
from contextlib import suppress
from itertools import cycle

import gevent
import gevent.os
from gevent import socket

from tests.integration.strangers import ENTRIES, PART

BODIES = {
    "form at /callbacks/smsc": "application/x-www-form-urlencoded",
    "XML at /callbacks/smsc": "application/xml",
    "JSON at /callbacks/smsc": "application/json",
    "multipart at /callbacks/smsc": "multipart/form-data; boundary=x",
    "form at /callbacks/smsru": "application/x-www-form-urlencoded",
    "multipart at /callbacks/smsru": "multipart/form-data; boundary=x",
}
LONGEST = 64 * 1024


def requests() -> list[bytes]:
    """Return a request for every body of tests/integration/strangers.py and for a long form part, all of the longest size."""
    made = []
    for name, kind in BODIES.items():
        bodies = [worst(LONGEST) for worst in ENTRIES[name].worst.values()]
        if "multipart" in name:
            bodies.append(PART + b'a"\r\n\r\n' + b"a" * (LONGEST - 100) + b"\r\n--x--\r\n")
        for body in bodies:
            head = f"POST {name.partition(' at ')[2]} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
            made.append(head.encode() + body)
    return made


def send(port: int, asked: list[bytes], first: int, answers: Counter[bytes]) -> None:
    """Send requests forever, each as soon as the previous one is answered. Connect again if the server disconnects."""
    turn = cycle(asked[first:] + asked[:first])
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as connection:
            for request in turn:
                connection.sendall(request)
                answer = connection.recv(65536)
                if not answer:
                    break
                answers[answer[9:12]] += 1


def main() -> None:
    """Send until the standard input ends, then print the counts."""
    port, connections = int(sys.argv[1]), int(sys.argv[2])
    asked, answers = requests(), Counter[bytes]()
    for index in range(connections):
        gevent.spawn(send, port, asked, index * len(asked) // connections, answers)
    gevent.os.tp_read(0, 1)
    print(", ".join(f"{status.decode()}: {count}" for status, count in answers.most_common()))


if __name__ == "__main__":
    main()
