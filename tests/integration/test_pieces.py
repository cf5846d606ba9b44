"""Requests cut into pieces, and bodies cut into chunks: neither makes the server look at the same bytes again and again."""

import socket
from typing import Any

import pytest
from gunicorn.http.unreader import SocketUnreader

from service.adapters.http.gunicorn_connection import MOST_PIECES, Peer


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
