"""Strangers at the public listener, in a process of their own: the worst body of every parser, from so many connections.

python -m benchmarks.crowd PORT CONNECTIONS

Sends until its standard input ends, then says how many requests were answered, by status.
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
    """Every body that tests/integration/strangers.py knows, as long as a body may be, and a plain form part."""
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
    """Send one after another, for ever, each as soon as the one before is answered; connect anew where it is cut off."""
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
    """Send until told to stop."""
    port, connections = int(sys.argv[1]), int(sys.argv[2])
    asked, answers = requests(), Counter[bytes]()
    for index in range(connections):
        gevent.spawn(send, port, asked, index * len(asked) // connections, answers)
    gevent.os.tp_read(0, 1)
    print(", ".join(f"{status.decode()}: {count}" for status, count in answers.most_common()))


if __name__ == "__main__":
    main()
