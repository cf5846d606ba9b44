"""Requests cut into pieces, and bodies cut into chunks: neither makes the server look at the same bytes again and again."""

import socket
import time
from io import BytesIO
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser
from gunicorn.http.unreader import SocketUnreader
from werkzeug.exceptions import RequestEntityTooLarge

from service.adapters.http.body import read_raw
from service.adapters.http.exchange import Exchange
from service.adapters.http.gunicorn_connection import MOST_PIECES, Peer

LIMIT = 65_536
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def peer() -> Any:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Peer(ours), SocketUnreader(ours), theirs


def pieces(peer: Any, most: int) -> int:
    """How many single bytes of a request are read."""
    peer, unreader, theirs = peer
    for number in range(most):
        theirs.send(b"a")
        try:
            peer.read(unreader, 1)
        except ConnectionResetError:
            return number
    return most


def test_a_head_in_too_many_pieces_is_not_waited_for(peer: Any) -> None:
    assert pieces(peer, 1000) == MOST_PIECES


def test_each_request_has_its_own_pieces_and_a_body_has_any(peer: Any) -> None:
    connection = peer[0]
    for _ in range(3):
        assert pieces(peer, MOST_PIECES) == MOST_PIECES
        connection.answering = True
        assert pieces(peer, 200) == 200
        connection.answering, connection.until = False, None


def exchange(raw: bytes) -> Exchange:
    at = BytesIO(raw)
    request = next(RequestParser(Config(), iter(lambda: at.read(8192), b""), ("192.0.2.1", 1)))
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": request.body, "REQUEST_METHOD": "POST"}
    return Exchange(environ, None, LIMIT, 0.0)


def test_chunks_leave_everybody_else_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []
    monkeypatch.setattr(time, "sleep", turns.append)
    assert read_raw(exchange(CHUNKED + b"1\r\na\r\n" * LIMIT + b"0\r\n\r\n")) == b"a" * LIMIT
    assert turns == [0] * (LIMIT // 4096)


def test_what_is_too_long_is_thrown_away_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = iter(range(1000))
    monkeypatch.setattr(time, "thread_time", lambda: next(spent) * 0.02)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    asked = exchange(CHUNKED + b"1\r\na\r\n" * (4 * LIMIT) + b"0\r\n\r\n")
    with pytest.raises(RequestEntityTooLarge):
        read_raw(asked)
    assert len(asked.environ["wsgi.input"].read()) > 2 * LIMIT
