"""How an answer leaves, over real sockets."""

import socket
import threading

import pytest

from service.adapters.http import gunicorn_connection
from service.adapters.http.gunicorn_connection import write

ANSWER = bytes(range(256)) * 4096


def test_an_answer_arrives_whole_however_little_the_kernel_takes_at_once() -> None:
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    received = bytearray()

    def read() -> None:
        while piece := theirs.recv(1000):
            received.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    write(ours, ANSWER)
    write(ours, b"end", chunked=True)
    ours.close()
    reader.join(20)
    theirs.close()
    assert bytes(received) == ANSWER + b"3\r\nend\r\n"


def test_who_reads_nothing_of_a_long_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gunicorn_connection, "STALLED_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ConnectionResetError):
        write(ours, ANSWER)
