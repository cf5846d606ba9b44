"""Kept connections to Redis: whatever state one is found in, the answer is that of the command that was asked."""

import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisClusterException, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.adapters.redis.connection import Connection, Turns, connector
from service.domain.errors import StoreUnavailable
from service.redis_url import Address
from tests.making import together
from tests.redis_servers import Sentinel, Server, wait_for


@pytest.fixture(params=["server", "sentinel"])
def redis(request: pytest.FixtureRequest) -> Iterator[Any]:
    """One server, reached directly, and through a sentinel that names it."""
    server: Any = Server("valkey").start() if request.param == "server" else Sentinel("valkey")
    yield server
    server.close()


@pytest.fixture
def connect(redis: Any) -> Iterator[Any]:
    address = Address.parse(redis.url)
    client = connector(address, 8)()
    yield client
    client.close()


def test_one_connection_serves_one_command_after_another(redis: Any, connect: Any) -> None:
    for index in range(20):
        connect.set("k", index)
        assert connect.get("k") == b"%d" % index
    pool = connect.connection_pool
    assert (len(pool._available_connections), len(pool._in_use_connections)) == (1, 0)


def test_a_connection_that_was_ended_while_idle_is_not_used(redis: Any, connect: Any) -> None:
    connect.set("k", "1")
    with redis.client() as client:
        assert client.client_kill_filter(_type="normal", skipme=True) >= 1
    assert connect.get("k") == b"1"


def test_an_answer_that_nobody_read_is_not_taken_for_the_next(redis: Any, connect: Any) -> None:
    connect.mset({"left": "left", "asked": "asked"})
    pool = connect.connection_pool
    connection = pool.get_connection()
    connection.send_command("GET", "left")
    wait_for(connection.can_read)
    pool.release(connection)
    assert connect.get("asked") == b"asked"


def test_an_answer_that_came_with_the_one_before_is_not_taken_for_the_next(redis: Any, connect: Any) -> None:
    connect.mset({"left": "left", "asked": "asked"})
    pool = connect.connection_pool
    connection = pool.get_connection()
    # Both answers come in one piece, of which one is read.
    connection.send_packed_command(connection.pack_commands([("PING",), ("GET", "left")]))
    connection.read_response()
    wait_for(lambda: connection._parser._reader.has_data() or connection.can_read())
    pool.release(connection)
    assert connect.get("asked") == b"asked"


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(redis: Any, connect: Any) -> None:
    """A master that is paused answers everything when it goes on, in order."""
    connect.mset({"late": "late", "asked": "asked"})
    server = redis.master if isinstance(redis, Sentinel) else redis
    server.process.send_signal(signal.SIGSTOP)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(connect.get("asked")))
    try:
        with pytest.raises(RedisTimeoutError):
            connect.get("late")
        thread.start()
        # Until the command is on its way.
        thread.join(0.2)
    finally:
        server.process.send_signal(signal.SIGCONT)
    thread.join(20)
    assert answers == [b"asked"]


def test_a_server_that_hangs_is_asked_once() -> None:
    """Its time is used, and the command may have run."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = connector(Address.parse(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"), 8)()
        with pytest.raises(RedisTimeoutError):
            client.get("k")
        client.close()
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_a_connection_that_ends_under_a_command_is_opened_again_once(redis: Any, connect: Any) -> None:

    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(connect.execute_command("BLPOP", "queue", 0)))
    connect.connection_pool.connection_kwargs["socket_timeout"] = None
    connect.connection_pool.reset()
    thread.start()
    with redis.client() as client:
        wait_for(lambda: client.info("clients")["blocked_clients"] == 1)
        client.client_kill_filter(_type="normal", skipme=True)
        wait_for(lambda: client.info("clients")["blocked_clients"] == 1)
        client.rpush("queue", "late")
    thread.join(20)
    assert answers == [(b"queue", b"late")]


def test_a_server_that_is_gone_is_an_outage_and_the_turn_is_given_back(redis: Any) -> None:
    counted: list[str] = []
    connection = Connection(connector(Address.parse(redis.url), 1), counted.append, max_steps=1)
    with connection.using("first") as client:
        client.set("k", "1")
    redis.close()
    for _ in range(3):
        with pytest.raises(StoreUnavailable), connection.using("gone") as client:
            client.get("k")
    assert counted == ["gone"] * 3
    connection.close()


def test_a_client_that_cannot_be_made_is_an_outage_and_the_turn_is_given_back() -> None:
    """A cluster's client asks the cluster when it is made."""
    counted: list[str] = []

    def refuse() -> Any:
        raise RedisClusterException("no node answers")

    connection = Connection(refuse, counted.append, max_steps=1)
    for _ in range(2):
        with pytest.raises(StoreUnavailable), connection.using("first"):
            pass
    assert counted == ["first"] * 2


def test_a_client_is_made_once_however_many_come_first() -> None:
    """A new process under load asked a cluster for its slots sixty times at once, and was refused connections."""
    made: list[object] = []
    first = threading.Event()

    def connect() -> Any:
        made.append(object())
        # The others come meanwhile.
        first.wait(0.1)
        return made[-1]

    connection = Connection(connect, lambda _: None)

    def use(_: int) -> object:
        with connection.using("first") as client:
            return client

    clients = together(60, use)
    assert len(made) == 1
    assert set(map(id, clients)) == {id(made[0])}


def test_an_error_of_ours_is_no_outage_and_gives_its_turn_back() -> None:
    counted: list[str] = []
    connection = Connection(Redis, counted.append, max_steps=1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), connection.using("any"):
            raise ZeroDivisionError
    assert counted == []


def test_no_more_than_so_many_take_their_turn_at_once_and_none_is_lost() -> None:
    turns, lock = Turns(4), threading.Lock()
    inside, most, done = [0], [0], [0]

    def act(_: int) -> None:
        for _ in range(50):
            assert turns.take(30)
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            threading.Event().wait(0)
            with lock:
                inside[0] -= 1
                done[0] += 1
            turns.give_back()

    assert together(60, act) == [None] * 60
    assert done == [3000]
    assert most[0] <= 4
    assert [turns.take(0) for _ in range(5)] == [True, True, True, True, False]


def test_who_waits_gets_the_turn_that_is_given_back() -> None:
    turns, taken = Turns(1), threading.Event()
    assert turns.take(0)
    thread = threading.Thread(target=lambda: turns.take(30) and taken.set())
    thread.start()
    wait_for(lambda: turns._waiting == 1)
    turns.give_back()
    assert taken.wait(20)
    thread.join()


def test_a_command_larger_than_the_kernel_takes_at_once_arrives_whole(redis: Any, connect: Any) -> None:
    large = b"x" * 8_000_000
    connect.set("k", large)
    assert connect.get("k") == large


def test_a_connection_that_was_closed_since_it_was_handed_out_is_opened_again(
    redis: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect.set("k", "1")
    pool = connect.connection_pool
    hand_out = pool.get_connection

    def closed_at_once() -> Any:
        connection = hand_out()
        pool.disconnect()
        return connection

    monkeypatch.setattr(pool, "get_connection", closed_at_once)
    assert connect.get("k") == b"1"


def test_several_commands_are_answered_in_their_order_errors_among_them(redis: Any, connect: Any) -> None:
    set_, wrong, got = connect.at_once([("SET", "k", 1), ("HGET", "k", "f"), ("GET", "k")])
    assert (set_, got) == (b"OK", b"1")
    assert isinstance(wrong, ResponseError)
    assert connect.values([]) == []
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        connect.values([("GET", "k"), ("HGET", "k", "f")])
    # The connection is as good as before.
    assert connect.values([("GET", "k")]) == [b"1"]
    assert len(connect.connection_pool._available_connections) == 1


def test_who_is_stopped_in_the_middle_leaves_no_answer_for_the_next(
    redis: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A greenlet may be killed, a thread interrupted, wherever it waits."""
    connect.mset({"left": "left", "asked": "asked"})
    receive = socket.socket.recv_into

    def interrupted(*args: Any) -> int:
        monkeypatch.setattr(socket.socket, "recv_into", receive)
        raise KeyboardInterrupt

    monkeypatch.setattr(socket.socket, "recv_into", interrupted)
    with pytest.raises(KeyboardInterrupt):
        connect.get("left")
    assert connect.get("asked") == b"asked"


def test_a_master_that_was_demoted_is_asked_for_anew(redis: Any, connect: Any) -> None:
    """Reached directly there is no other; the sentinels may name one, so the connection to the old one ends."""
    connect.set("k", "1")
    behind_sentinel = isinstance(redis, Sentinel)
    server = redis.master if behind_sentinel else redis
    with server.client() as client:
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(RedisConnectionError if behind_sentinel else ReadOnlyError):
            connect.set("k", "2")
        kept = len(connect.connection_pool._available_connections)
        assert [each._sock is None for each in connect.connection_pool._available_connections] == [
            behind_sentinel
        ] * kept
        client.replicaof("no", "one")
    connect.set("k", "3")
    assert connect.get("k") == b"3"
