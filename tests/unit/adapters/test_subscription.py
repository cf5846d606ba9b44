"""A subscription tells of announced changes, and has read again whatever may have changed unannounced."""

from collections.abc import Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from service.adapters.redis.subscription import Subscription

PATIENCE = 10


class FakePubSub:
    """Stand-in for a PubSub: the test says its messages; each subscription is confirmed."""

    def __init__(self) -> None:
        self.sent: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.subscribed: SimpleQueue[str] = SimpleQueue()
        self.left: SimpleQueue[str] = SimpleQueue()

    def pubsub(self) -> "FakePubSub":
        return self

    def ssubscribe(self, *keys: str) -> None:
        for key in keys:
            self.subscribed.put(key)
            self.say("ssubscribe", key)

    def sunsubscribe(self, *keys: str) -> None:
        for key in keys:
            self.left.put(key)

    def say(self, kind: str, key: str) -> None:
        self.sent.put({"type": kind, "pattern": None, "channel": key.encode(), "data": b""})

    def get_message(self, *, timeout: float) -> dict[str, Any] | None:
        try:
            return self.sent.get(timeout=max(timeout, 0.001))
        except Empty:
            return None

    def close(self) -> None:
        pass


class Heard:
    def __init__(self, server: FakePubSub | None) -> None:
        self._server = server
        self.told: SimpleQueue[str] = SimpleQueue()
        self.checked: SimpleQueue[list[str]] = SimpleQueue()
        self.subscription = Subscription(self._connect, self.told.put, self._check)

    def _connect(self) -> Any:
        if self._server is None:
            raise NoPermissionError
        return self._server

    def _check(self, keys: Iterable[str]) -> None:
        self.checked.put(list(keys))


@pytest.fixture
def server() -> FakePubSub:
    return FakePubSub()


@pytest.fixture
def heard(server: FakePubSub) -> Iterator[Heard]:
    heard = Heard(server)
    yield heard
    heard.subscription.close()


def test_a_change_before_the_subscription_is_found_once_that_is_confirmed(heard: Heard) -> None:
    heard.subscription.follow("a")

    assert heard.checked.get(timeout=PATIENCE) == ["a"]


def test_an_announced_change_is_told(heard: Heard, server: FakePubSub) -> None:
    heard.subscription.follow("a")
    server.say("smessage", "a")

    assert heard.told.get(timeout=PATIENCE) == "a"


def test_who_follows_what_is_followed_already_has_it_read_at_once(heard: Heard, server: FakePubSub) -> None:
    heard.subscription.follow("a")
    heard.checked.get(timeout=PATIENCE)
    heard.subscription.follow("a")

    assert heard.checked.get(timeout=PATIENCE) == ["a"]
    assert server.subscribed.qsize() == 1


def test_what_nobody_waits_for_is_left(heard: Heard, server: FakePubSub) -> None:
    heard.subscription.follow("a")
    heard.subscription.follow("b")
    assert {server.subscribed.get(timeout=PATIENCE) for _ in range(2)} == {"a", "b"}
    heard.subscription.leave("a")

    assert server.left.get(timeout=PATIENCE) == "a"


def test_without_announcements_records_are_read_again_and_again() -> None:
    heard = Heard(None)
    heard.subscription.follow("a")

    assert [heard.checked.get(timeout=PATIENCE) for _ in range(3)] == [["a"]] * 3
    heard.subscription.close()


def test_a_closed_feed_ends_its_thread(heard: Heard) -> None:
    heard.subscription.follow("a")
    heard.checked.get(timeout=PATIENCE)
    # Its own: those of other tests may still be about.
    thread = heard.subscription._thread
    assert thread is not None
    heard.subscription.close()

    thread.join(PATIENCE)
    assert not thread.is_alive()
