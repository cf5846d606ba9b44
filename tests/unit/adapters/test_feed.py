"""A feed tells of announced changes, and has read again whatever may have changed unannounced."""

from collections.abc import Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from service.adapters.redis.announcements import CHANGED, CONFIRMED
from service.adapters.redis.feed import Feed

PATIENCE = 10


class FakeAnnouncements:
    """What a server would send, said by the test; confirms each subscription."""

    def __init__(self) -> None:
        self.sent: SimpleQueue[tuple[bytes, str]] = SimpleQueue()
        self.subscribed: SimpleQueue[str] = SimpleQueue()
        self.left: SimpleQueue[str] = SimpleQueue()

    def follow(self, added: Iterable[str], gone: Iterable[str]) -> None:
        for key in added:
            self.subscribed.put(key)
            self.sent.put((CONFIRMED, key))
        for key in gone:
            self.left.put(key)

    def next(self, seconds: float) -> tuple[bytes, str] | None:
        try:
            return self.sent.get(timeout=max(seconds, 0.001))
        except Empty:
            return None

    def close(self) -> None:
        pass


class Heard:
    def __init__(self, announcements: FakeAnnouncements | None) -> None:
        self._announcements = announcements
        self.told: SimpleQueue[str] = SimpleQueue()
        self.checked: SimpleQueue[list[str]] = SimpleQueue()
        self.feed = Feed(self._connect, self.told.put, self._check)

    def _connect(self) -> Any:
        if self._announcements is None:
            raise NoPermissionError
        return self._announcements

    def _check(self, keys: Iterable[str]) -> None:
        self.checked.put(list(keys))


@pytest.fixture
def announcements() -> FakeAnnouncements:
    return FakeAnnouncements()


@pytest.fixture
def heard(announcements: FakeAnnouncements) -> Iterator[Heard]:
    heard = Heard(announcements)
    yield heard
    heard.feed.close()


def test_a_change_before_the_subscription_is_found_once_that_is_confirmed(heard: Heard) -> None:
    heard.feed.follow("a")

    assert heard.checked.get(timeout=PATIENCE) == ["a"]


def test_an_announced_change_is_told(heard: Heard, announcements: FakeAnnouncements) -> None:
    heard.feed.follow("a")
    announcements.sent.put((CHANGED, "a"))

    assert heard.told.get(timeout=PATIENCE) == "a"


def test_who_follows_what_is_followed_already_has_it_read_at_once(
    heard: Heard, announcements: FakeAnnouncements
) -> None:
    heard.feed.follow("a")
    heard.checked.get(timeout=PATIENCE)
    heard.feed.follow("a")

    assert heard.checked.get(timeout=PATIENCE) == ["a"]
    assert announcements.subscribed.qsize() == 1


def test_what_nobody_waits_for_is_left(heard: Heard, announcements: FakeAnnouncements) -> None:
    heard.feed.follow("a")
    heard.feed.follow("b")
    assert {announcements.subscribed.get(timeout=PATIENCE) for _ in range(2)} == {"a", "b"}
    heard.feed.leave("a")

    assert announcements.left.get(timeout=PATIENCE) == "a"


def test_without_announcements_records_are_read_again_and_again() -> None:
    heard = Heard(None)
    heard.feed.follow("a")

    assert [heard.checked.get(timeout=PATIENCE) for _ in range(3)] == [["a"]] * 3
    heard.feed.close()


def test_a_closed_feed_ends_its_thread(heard: Heard) -> None:
    heard.feed.follow("a")
    heard.checked.get(timeout=PATIENCE)
    # Its own: those of other tests may still be about.
    thread = heard.feed._thread
    assert thread is not None
    heard.feed.close()

    thread.join(PATIENCE)
    assert not thread.is_alive()
