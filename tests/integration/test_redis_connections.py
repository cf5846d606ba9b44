"""Test kept connections to Redis: in every state of a connection a command gets its own answer."""

import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisClusterException, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.making import together
from tests.redis_servers import Sentinel, Server, add_documented_user, wait_for
from waitcall.adapters.redis import connection as connection_module
from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.topology import Cluster, Standalone, topology_of
from waitcall.configuration.redis_url import Address
from waitcall.domain.errors import StoreUnavailable


@pytest.fixture(params=["server", "sentinel"])
def redis(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Server that is reached directly or through a sentinel."""
    server: Any = Server("valkey").start() if request.param == "server" else Sentinel("valkey")
    yield server
    server.close()


@pytest.fixture
def connect(redis: Any) -> Iterator[Any]:
    address = Address.parse(redis.url)
    client = topology_of(address, 8).client()
    yield client
    client.close()


def test_one_connection_serves_commands_and_pipelines_one_after_another(redis: Any, connect: Any) -> None:
    for index in range(20):
        connect.set("k", index)
        assert connect.pipeline(transaction=False).get("k").get("k").execute() == [b"%d" % index] * 2
    with redis.client() as client:
        ours = connect.client_id()
        others = client.client_id()
        kept = {int(each["id"]) for each in client.client_list(_type="normal")}
    # The sentinel has a connection of its own.
    assert ours in kept
    assert len(kept - {others}) <= (1 if isinstance(redis, Server) else 2)


def test_a_connection_that_ended_while_idle_is_not_used(redis: Any, connect: Any) -> None:
    connect.set("k", "1")
    with redis.client() as client:
        assert client.client_kill_filter(_type="normal", skipme=True) >= 1
    assert connect.get("k") == b"1"


class Stopped(BaseException):
    """Exception like gevent's Timeout, which is not derived from Exception."""


def test_an_unread_answer_is_not_taken_for_the_next(redis: Any) -> None:
    """The code that uses the client is stopped after it has sent a command."""
    connection = Connection(topology_of(Address.parse(redis.url), 8), lambda _: None)
    with connection.using("set") as client:
        client.mset({"left": "left", "asked": "asked"})

    def stopped() -> None:
        with connection.using("stopped") as client:
            client.connection_pool.get_connection().send_command("GET", "left")
            raise Stopped

    with pytest.raises(Stopped):
        stopped()
    with connection.using("get") as client:
        assert client.get("asked") == b"asked"
    connection.close()


def test_a_pipeline_that_fails_at_an_answer_leaves_none_for_the_next(redis: Any) -> None:
    connection = Connection(topology_of(Address.parse(redis.url), 8), lambda _: None)

    def fail(_: object) -> None:
        raise ZeroDivisionError

    def stopped() -> None:
        with connection.using("stopped") as client:
            pipeline = client.pipeline(transaction=False).set("asked", "asked").get("left")
            pipeline.set_response_callback("SET", fail)
            pipeline.execute()

    with pytest.raises(ZeroDivisionError):
        stopped()
    with connection.using("get") as client:
        client.response_callbacks.pop("SET", None)
        assert client.get("asked") == b"asked"
    connection.close()


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(redis: Any, connect: Any) -> None:
    """A paused master answers all commands in order once it goes on."""
    connect.mset({"late": "late", "asked": "asked"})
    server = redis.master if isinstance(redis, Sentinel) else redis
    server.process.send_signal(signal.SIGSTOP)
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(connect.get("asked")))
    try:
        with pytest.raises(RedisTimeoutError):
            connect.get("late")
        thread.start()
        # The command must be on its way before the server goes on.
        thread.join(0.2)
    finally:
        server.process.send_signal(signal.SIGCONT)
    thread.join(20)
    assert answers == [b"asked"]


def test_a_server_that_hangs_is_asked_once() -> None:
    """The command is not repeated, because its time is over and it may have run."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = topology_of(Address.parse(f"redis://127.0.0.1:{silent.getsockname()[1]}/0"), 8).client()
        with pytest.raises(RedisTimeoutError):
            client.get("k")
        client.close()
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_a_command_whose_connection_ends_is_repeated_once(redis: Any, connect: Any) -> None:

    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(connect.execute_command("BLPOP", "queue", 0)))
    connect.connection_pool.connection_kwargs["socket_timeout"] = None
    thread.start()
    with redis.client() as client:
        wait_for(lambda: client.info("clients")["blocked_clients"] == 1)
        client.client_kill_filter(_type="normal", skipme=True)
        wait_for(lambda: client.info("clients")["blocked_clients"] == 1)
        client.rpush("queue", "late")
    thread.join(20)
    assert answers == [(b"queue", b"late")]


def test_a_dead_server_is_an_outage_and_the_client_is_given_back(redis: Any) -> None:
    counted: list[str] = []
    connection = Connection(topology_of(Address.parse(redis.url), 1), counted.append, max_steps=1)
    with connection.using("first") as client:
        client.set("k", "1")
    redis.close()
    for _ in range(3):
        with pytest.raises(StoreUnavailable), connection.using("gone") as client:
            client.get("k")
    assert counted == ["gone"] * 3
    connection.close()


def cluster(make: Any) -> Cluster:
    made = Cluster(Address.parse("redis+cluster://127.0.0.1:1"), 8)
    made._make = make
    return made


def test_a_client_that_cannot_be_made_is_an_outage_and_its_place_is_given_back() -> None:
    """The client of a cluster asks the cluster for its slots when it is made."""
    counted: list[str] = []

    def refuse() -> Any:
        raise RedisClusterException("no node answers")

    connection = Connection(cluster(refuse), counted.append, max_steps=1)
    for _ in range(2):
        with pytest.raises(StoreUnavailable), connection.using("first"):
            pass
    assert counted == ["first"] * 2


def test_a_clusters_client_is_made_once_however_many_come_first() -> None:
    """A new process under load once asked a cluster for its slots sixty times at once and was refused."""
    made: list[object] = []
    first = threading.Event()

    def connect() -> Any:
        made.append(object())
        # The other threads come meanwhile.
        first.wait(0.1)
        return made[-1]

    connection = Connection(cluster(connect), lambda _: None)

    def use(_: int) -> object:
        with connection.using("first") as client:
            return client

    clients = together(60, use)
    assert len(made) == 1
    assert set(map(id, clients)) == {id(made[0])}


def test_an_error_of_the_calling_code_is_no_outage_and_the_client_is_given_back() -> None:
    counted: list[str] = []
    connection = Connection(Standalone(Address.parse("redis://127.0.0.1:1/0")), counted.append, max_steps=1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), connection.using("any"):
            raise ZeroDivisionError
    assert counted == []


def test_the_number_of_clients_is_bounded_and_each_has_one_user_at_a_time(redis: Any) -> None:
    connection = Connection(topology_of(Address.parse(redis.url), 4), lambda _: None, max_steps=4)
    lock = threading.Lock()
    inside: list[int] = []
    most, done, clients = [0], [0], set()

    def act(_: int) -> None:
        for _ in range(20):
            with connection.using("any") as client:
                with lock:
                    assert id(client) not in inside
                    inside.append(id(client))
                    clients.add(id(client))
                    most[0] = max(most[0], len(inside))
                client.ping()
                with lock:
                    inside.remove(id(client))
                    done[0] += 1

    assert together(40, act) == [None] * 40
    assert done == [800]
    assert most[0] <= 4
    assert len(clients) <= 4
    used = set()
    for _ in range(10):
        with connection.using("any") as client:
            used.add(id(client))
    # The client used last is used first, so no more connections are opened than are needed at once.
    assert len(used) == 1
    connection.close()


def test_a_caller_that_gets_no_free_client_in_time_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "TURN_SECONDS", 0.01)
    counted: list[str] = []
    connection = Connection(Standalone(Address.parse("redis://127.0.0.1:1/0")), counted.append, max_steps=1)
    with connection.using("first"):
        with pytest.raises(StoreUnavailable) as refused, connection.using("second"):
            pass
        assert refused.value.cause == "no connection was free in time"
    assert counted == ["second"]
    with connection.using("third"):
        pass


def test_a_waiting_caller_gets_the_client_that_is_given_back() -> None:
    connection = Connection(Standalone(Address.parse("redis://127.0.0.1:1/0")), lambda _: None, max_steps=1)
    taken = threading.Event()

    def wait() -> None:
        with connection.using("second"):
            taken.set()

    thread = threading.Thread(target=wait)
    with connection.using("first"):
        thread.start()
        assert not taken.is_set()
    assert taken.wait(20)
    thread.join()


def test_a_timeout_closes_idle_connections_too(redis: Any) -> None:
    """The master may have been replaced, and new connections ask the sentinels for it."""
    connection = Connection(topology_of(Address.parse(redis.url), 8), lambda _: None)
    with connection.using("first") as idle, connection.using("second") as client:
        idle.ping()
        client.ping()
    kept = idle.connection_pool.get_connection()
    assert kept.is_connected
    with pytest.raises(StoreUnavailable), connection.using("slow"):
        raise RedisTimeoutError
    assert not kept.is_connected
    with connection.using("again") as client:
        assert client.ping()
    connection.close()


def test_a_command_larger_than_the_socket_buffer_arrives_whole(redis: Any, connect: Any) -> None:
    large = b"x" * 8_000_000
    connect.set("k", large)
    assert connect.get("k") == large


def test_several_commands_are_answered_in_order_with_errors_among_them(redis: Any, connect: Any) -> None:
    def asked() -> Any:
        return connect.pipeline(transaction=False).set("k", 1).hget("k", "f").get("k")

    set_, wrong, got = asked().execute(raise_on_error=False)
    assert (set_, got) == (True, b"1")
    assert isinstance(wrong, ResponseError)
    kept = connect.connection_pool.connection
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        asked().execute()
    # The connection still works and is kept.
    assert connect.get("k") == b"1"
    assert connect.connection_pool.connection is kept
    assert kept.is_connected


def test_a_command_interrupted_while_it_waits_leaves_no_answer_for_the_next(
    redis: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A greenlet can be killed and a thread interrupted wherever it waits."""
    connect.mset({"left": "left", "asked": "asked"})
    receive = socket.socket.recv_into

    def interrupted(*args: Any) -> int:
        monkeypatch.setattr(socket.socket, "recv_into", receive)
        raise KeyboardInterrupt

    monkeypatch.setattr(socket.socket, "recv_into", interrupted)
    with pytest.raises(KeyboardInterrupt):
        connect.get("left")
    assert connect.get("asked") == b"asked"


def test_a_demoted_master_is_left_if_sentinels_can_name_another(redis: Any, connect: Any) -> None:
    """Without sentinels there is no other server to ask, so the connection stays open."""
    connect.set("k", "1")
    behind_sentinel = isinstance(redis, Sentinel)
    server = redis.master if behind_sentinel else redis
    with server.client() as client:
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(RedisConnectionError if behind_sentinel else ReadOnlyError):
            connect.set("k", "2")
        assert connect.connection_pool.connection.is_connected is not behind_sentinel
        client.replicaof("no", "one")
    connect.set("k", "3")
    assert connect.get("k") == b"3"


def test_a_replica_that_the_sentinels_still_name_is_not_read() -> None:
    """A former master that is back as an empty replica would find no verification. The documented user can find that out."""
    named = Sentinel("valkey")
    add_documented_user(named.master)
    url = named.url.replace("://", "://waitcall:pass@")
    client = topology_of(Address.parse(url), 8).client()
    try:
        client.set("waitcall:k", "1")
        with named.client() as server:
            server.replicaof("127.0.0.1", 1)
            server.client_kill_filter(_type="normal", skipme=True)
            with pytest.raises(RedisConnectionError, match=r"refuses WAIT .* cannot be used with replica"):
                client.get("waitcall:k")
            server.replicaof("no", "one")
        assert client.get("waitcall:k") == b"1"
    finally:
        client.close()
        named.close()
