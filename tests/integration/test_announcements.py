"""Announcements over a real server's socket: whole, in pieces, refused, and cut off."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError

from service.adapters.redis.announcements import CHANGED, CONFIRMED, Announcements
from service.adapters.redis.topology import topology_of
from service.redis_url import Address
from tests.redis_servers import Server

PATIENCE = 10.0


@pytest.fixture
def redis() -> Iterator[Server]:
    server = Server("valkey").start()
    yield server
    server.close()


def opened(url: str) -> tuple[Any, Announcements]:
    client = topology_of(Address.parse(url), 8).client()
    return client, Announcements(client)


@pytest.fixture
def announcements(redis: Server) -> Iterator[Announcements]:
    client, made = opened(redis.url)
    yield made
    client.close()


def told(announcements: Announcements) -> tuple[bytes, str]:
    """The next, in however many pieces it comes."""
    for _ in range(100):
        message = announcements.next(PATIENCE)
        if message is not None:
            return message
    raise AssertionError("Nothing was announced.")


def test_what_is_followed_is_confirmed_and_told_until_it_is_left(
    redis: Server, announcements: Announcements
) -> None:
    announcements.follow(["a", "b"], [])
    assert [told(announcements) for _ in range(2)] == [(CONFIRMED, "a"), (CONFIRMED, "b")]

    announcements.follow([], ["a"])
    assert told(announcements)[1] == "a"
    with redis.client() as client:
        for key in ("a", "b"):
            client.execute_command("SPUBLISH", key, "changed")

    assert told(announcements) == (CHANGED, "b")
    assert announcements.next(0) is None


def test_one_that_comes_in_pieces_is_told_once_it_is_whole(
    redis: Server, announcements: Announcements
) -> None:
    announcements.follow(["a"], [])
    assert told(announcements) == (CONFIRMED, "a")
    with redis.client() as client:
        client.execute_command("SPUBLISH", "a", b"x" * 1_000_000)

    assert told(announcements) == (CHANGED, "a")


def test_a_refusal_is_raised(redis: Server) -> None:
    with redis.client() as client:
        client.execute_command("ACL SETUSER", "mute", "on", ">pass", "~*", "resetchannels", "+@all")
    client, refused = opened(f"redis://mute:pass@127.0.0.1:{redis.port}/0")
    refused.follow(["a"], [])

    with pytest.raises(NoPermissionError):
        refused.next(PATIENCE)
    client.close()


def test_its_end_is_raised_and_it_is_never_opened_again_in_silence(
    redis: Server, announcements: Announcements
) -> None:
    announcements.follow(["a"], [])
    assert told(announcements) == (CONFIRMED, "a")
    with redis.client() as client:
        assert client.client_kill_filter(_type="pubsub") == 1

    for _ in range(2):
        with pytest.raises(RedisConnectionError):
            announcements.next(PATIENCE)
    announcements.close()
    with pytest.raises(RedisConnectionError):
        announcements.follow(["a"], [])


def test_a_closed_one_leaves_its_place_to_commands(redis: Server) -> None:
    client, closed = opened(redis.url)
    closed.follow(["a"], [])
    closed.close()

    assert client.set("k", "v")
    assert client.get("k") == b"v"
    client.close()
