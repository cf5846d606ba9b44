"""A subscription reports announced changes, and has records checked that may have changed without an announcement."""

from collections.abc import Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from waitcall.adapters.redis.change_notifier import Subscription

PATIENCE = 10


class FakePubSub:
    """Fake PubSub that confirms each subscription and delivers the messages that a test gives it."""

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


def test_a_key_is_checked_once_its_subscription_is_confirmed(heard: Heard) -> None:
    heard.subscription.follow("a")

    assert heard.checked.get(timeout=PATIENCE) == ["a"]


def test_an_announced_change_is_told(heard: Heard, server: FakePubSub) -> None:
    heard.subscription.follow("a")
    server.say("smessage", "a")

    assert heard.told.get(timeout=PATIENCE) == "a"


def test_a_key_that_is_followed_again_is_checked_at_once(heard: Heard, server: FakePubSub) -> None:
    heard.subscription.follow("a")
    heard.checked.get(timeout=PATIENCE)
    heard.subscription.follow("a")

    assert heard.checked.get(timeout=PATIENCE) == ["a"]
    assert server.subscribed.qsize() == 1


def test_a_key_that_no_request_waits_for_is_unsubscribed(heard: Heard, server: FakePubSub) -> None:
    heard.subscription.follow("a")
    heard.subscription.follow("b")
    assert {server.subscribed.get(timeout=PATIENCE) for _ in range(2)} == {"a", "b"}
    heard.subscription.leave("a")

    assert server.left.get(timeout=PATIENCE) == "a"


def test_without_announcements_records_are_checked_again_and_again() -> None:
    heard = Heard(None)
    heard.subscription.follow("a")

    assert [heard.checked.get(timeout=PATIENCE) for _ in range(3)] == [["a"]] * 3
    heard.subscription.close()


def test_a_closed_subscription_ends_its_thread(heard: Heard) -> None:
    heard.subscription.follow("a")
    heard.checked.get(timeout=PATIENCE)
    # Look at this subscription's thread only, because threads of other tests may still be running.
    thread = heard.subscription._thread
    assert thread is not None
    heard.subscription.close()

    thread.join(PATIENCE)
    assert not thread.is_alive()
