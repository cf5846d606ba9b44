"""Test subscriptions at a real server: confirmed, notified, left, refused and cut off."""

from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from tests.redis_servers import Cluster, Sentinel, Server, wait_for
from waitcall.adapters.redis.change_notifier import Subscription
from waitcall.adapters.redis.topology import topology_of
from waitcall.configuration.redis_url import Address

PATIENCE = 10.0


class Heard:
    """A subscription, the changes that it announced, and the keys that it wanted read again."""

    def __init__(self, url: str) -> None:
        topology = topology_of(Address.parse(url), 8)
        client = topology.client()
        self.told: SimpleQueue[str] = SimpleQueue()
        self.checked: SimpleQueue[str] = SimpleQueue()
        self.subscription = Subscription(
            lambda: topology.subscriber(client, "a"),
            self.told.put,
            self._check,
            one_by_one=not topology.one_server,
        )

    def _check(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.checked.put(key)

    def confirmed(self, count: int) -> set[str]:
        return {self.checked.get(timeout=PATIENCE) for _ in range(count)}


@pytest.fixture(params=["server", "sentinel"], scope="module")
def redis(request: pytest.FixtureRequest) -> Iterator[Any]:
    server: Any = Server("valkey").start() if request.param == "server" else Sentinel("valkey")
    yield server
    server.close()


@pytest.fixture
def heard(redis: Any) -> Iterator[Heard]:
    made = Heard(redis.url)
    yield made
    made.subscription.close()
    wait_for(lambda: not subscribed(redis))


def subscribed(redis: Any) -> bool:
    with redis.client() as client:
        return any(int(each["ssub"]) for each in client.client_list(_type="pubsub"))


def publish(client: Any, *keys: str) -> list[int]:
    return [client.spublish(key, "") for key in keys]


def test_a_followed_key_is_confirmed_and_announced_until_it_is_left(redis: Any, heard: Heard) -> None:
    heard.subscription.follow("a")
    heard.subscription.follow("b")
    assert heard.confirmed(2) == {"a", "b"}

    heard.subscription.leave("a")
    with redis.client() as client:
        wait_for(lambda: publish(client, "a") == [0])
        while not heard.told.empty():
            heard.told.get()
        assert publish(client, "b") == [1]

    assert heard.told.get(timeout=PATIENCE) == "b"


def test_after_a_lost_connection_keys_are_subscribed_and_read_again(redis: Any, heard: Heard) -> None:
    heard.subscription.follow("a")
    heard.subscription.follow("b")
    heard.confirmed(2)
    with redis.client() as client:
        # A sentinel subscribes at its master as well, so more than one connection may end.
        assert client.client_kill_filter(_type="pubsub") >= 1

        assert heard.confirmed(2) == {"a", "b"}
        assert publish(client, "a", "b") == [1, 1]

    assert [heard.told.get(timeout=PATIENCE) for _ in range(2)] == ["a", "b"]


def test_a_user_who_may_not_subscribe_reads_records_again_and_again(redis: Any) -> None:
    server = redis.master if isinstance(redis, Sentinel) else redis
    with redis.client() as client:
        client.execute_command("ACL SETUSER", "mute", "on", ">pass", "~*", "resetchannels", "+@all")
    refused = Heard(f"redis://mute:pass@127.0.0.1:{server.port}/0")
    refused.subscription.follow("a")

    assert [refused.checked.get(timeout=PATIENCE) for _ in range(3)] == ["a"] * 3
    refused.subscription.close()


def test_a_closed_subscription_keeps_no_connection(redis: Any, heard: Heard) -> None:
    heard.subscription.follow("a")
    heard.confirmed(1)
    heard.subscription.close()

    wait_for(lambda: not subscribed(redis))


def test_channels_of_several_slots_are_followed_at_one_node_of_a_cluster() -> None:
    cluster = Cluster("valkey")
    try:
        heard = Heard(cluster.url)
        with cluster.client() as client:
            node = client.get_node_from_key("a")
            keys = [each for each in map(str, range(50)) if client.get_node_from_key(each) == node]
            for key in keys:
                heard.subscription.follow(key)
            assert heard.confirmed(len(keys)) == set(keys)
            with client.get_redis_connection(node).client() as there:
                assert publish(there, *keys) == [1] * len(keys)
        assert {heard.told.get(timeout=PATIENCE) for _ in keys} == set(keys)
        heard.subscription.close()
    finally:
        cluster.close()
