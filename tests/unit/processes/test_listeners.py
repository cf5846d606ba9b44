"""Test which address a bind means, on real sockets."""

import errno
import socket

import pytest

from waitcall.processes.listeners import family_of, gunicorn_bind, listener


@pytest.mark.parametrize(
    ("bind", "address", "gunicorn"),
    [
        ("127.0.0.1:8080", "127.0.0.1", "127.0.0.1:8080"),
        ("0.0.0.0:8080", "0.0.0.0", "0.0.0.0:8080"),
        ("[::1]:8080", "::1", "[::1]:8080"),
        ("[::]:8080", "::", "[::]:8080"),
        ("localhost:8080", "127.0.0.1", "127.0.0.1:8080"),
    ],
)
def test_a_bind_means_one_address_and_gunicorn_gets_it(bind: str, address: str, gunicorn: str) -> None:
    assert listener(bind) == (address, 8080)
    assert gunicorn_bind(bind) == gunicorn
    with socket.socket(family_of(address)) as opened:
        opened.bind((address, 0))


def test_every_address_is_ipv4_where_the_kernel_has_no_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    class Socket(socket.socket):
        def __init__(self, family: int = socket.AF_INET, *more: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *more)

    monkeypatch.setattr(socket, "socket", Socket)
    assert listener("[::]:9091") == ("0.0.0.0", 9091)
    assert gunicorn_bind("[::]:9091") == "0.0.0.0:9091"


def test_a_name_with_an_ipv6_address_only_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fd00::7", 9091, 0, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert gunicorn_bind("pod.example.org:9091") == "[fd00::7]:9091"
