"""Test that slow, fragmented and endless requests keep neither a worker nor other connections busy."""

import socket
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gunicorn.config import Config
from gunicorn.http import RequestParser

from waitcall.processes import gunicorn_worker
from waitcall.processes.gunicorn_worker import (
    MOST_PIECES,
    MOST_UNREAD_BYTES,
    TURN_BYTES,
    Connection,
    is_read_to_its_end,
)

CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    connection = Connection(ours)
    with theirs:
        yield connection, theirs
    connection.close()


def pieces(connection: Connection, theirs: socket.socket, most: int) -> int:
    """Send single bytes of a request and return how many are read."""
    for number in range(most):
        theirs.send(b"a")
        if connection.recv(10) == b"":
            return number
    return most


def test_a_head_in_too_many_pieces_ends_the_connection(ends: Any) -> None:
    assert pieces(*ends, 1000) == MOST_PIECES


def test_the_limit_of_pieces_holds_for_each_head_and_not_for_bodies(ends: Any) -> None:
    for _ in range(3):
        assert pieces(*ends, MOST_PIECES) == MOST_PIECES
        ends[0].begin_answer()
        assert pieces(*ends, 200) == 200
        ends[0].await_request()


def test_the_rest_of_a_head_must_come_in_time(ends: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gunicorn_worker, "HEAD_SECONDS", 0.05)
    assert pieces(*ends, 1) == 1
    assert ends[0].recv(10) == b""


def test_a_fast_sender_lets_other_greenlets_run(ends: Any) -> None:
    connection, theirs = ends
    turns: list[int] = []
    connection.begin_answer()
    theirs.sendall(b"a" * 4 * TURN_BYTES)
    for piece in range(4):
        gevent.spawn(turns.append, piece)
        connection.recv(TURN_BYTES)
    assert turns == [0, 1, 2, 3]


def test_a_client_that_does_not_read_a_long_answer_is_cut_off(
    ends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gunicorn_worker, "STALLED_SECONDS", 0.05)
    ends[0].begin_answer()
    with pytest.raises(TimeoutError):
        ends[0].sendall(b"a" * 8 * 1024 * 1024)


def test_a_connection_closes_after_the_other_side_or_after_a_while(
    ends: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gunicorn_worker, "LINGER_SECONDS", 0.05)
    connection, theirs = ends
    theirs.sendall(b"more than anybody asked for")
    connection.sendall(b"answer")
    connection.close()
    assert (theirs.recv(100), theirs.recv(100)) == (b"answer", b"")


def body_of(raw: bytes) -> Any:
    at = BytesIO(raw)
    return next(RequestParser(Config(), iter(lambda: at.read(8192), b""), ("192.0.2.1", 1))).body


@pytest.mark.parametrize(
    ("chunks", "is_read"),
    [
        (b"0\r\n\r\n", True),
        (b"%x\r\n%s\r\n0\r\n\r\n" % (MOST_UNREAD_BYTES, b"a" * MOST_UNREAD_BYTES), True),
        (b"1\r\na\r\n" * (MOST_UNREAD_BYTES + 1) + b"0\r\n\r\n", False),
        (b"nonsense\r\n", False),
    ],
    ids=["nothing", "as much as is read", "more", "broken"],
)
def test_an_unread_body_is_read_to_its_end_only_up_to_a_bound(chunks: bytes, is_read: bool) -> None:
    assert is_read_to_its_end(body_of(CHUNKED + chunks)) is is_read


def test_the_rest_of_a_body_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def read(self, _: int) -> bytes:
            Event().wait()
            return b""

    monkeypatch.setattr(gunicorn_worker, "LINGER_SECONDS", 0.05)
    assert not is_read_to_its_end(Silent())
