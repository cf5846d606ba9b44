"""Servers that restart, hang, refuse or lose a write, with the real timeouts."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.conftest import SENTINEL, AnyServer, open_world, running
from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import (
    NOW,
    NUMBER,
    OTHER_NUMBER,
    call_at,
    opened,
    operating,
    pending,
    records_of,
    reserve,
    use_cases,
    with_limits,
)
from tests.redis_servers import Cluster, Server, add_documented_user, all_keys, binary, wait_for
from tests.worlds import OTHER_PEPPER, PEPPER, World, redis_connection, redis_world
from waitcall.adapters.redis.change_notifier import RedisChangeNotifier
from waitcall.adapters.redis.connection import Connection, TooFewReplicas
from waitcall.adapters.redis.keys import Keys
from waitcall.adapters.redis.leadership import RedisLeadership, RedisProgress
from waitcall.adapters.redis.outbox import RedisOutbox
from waitcall.adapters.redis.topology import topology_of
from waitcall.application.create import CreateCommand
from waitcall.application.effects import Announcement, Delivery
from waitcall.application.expire import ExpireVerifications
from waitcall.application.operate import Subject
from waitcall.application.ports import Answer, Begun, Change, Claim, Stored
from waitcall.configuration.redis_url import Address
from waitcall.domain.channel import ProviderOrder
from waitcall.domain.conversion import ConversionBudget, Group
from waitcall.domain.errors import ProviderError, StoreUnavailable
from waitcall.domain.limits import Mode
from waitcall.domain.lists import ListAction, ListKind
from waitcall.domain.matching import Outcome
from waitcall.domain.status import Status


def test_a_failed_pass_of_the_notifier_does_not_end_it(valkey: Server, monkeypatch) -> None:
    for world in open_world(valkey, "watched"):
        stored = reserve(world.store, pending(world.store.new_id(NUMBER)), None, NOW)
        assert stored is not None
        real, failures = RedisChangeNotifier._read, [ValueError("a defect of ours")]

        def read(
            self: RedisChangeNotifier, keys: list[str], real=real, failures=failures
        ) -> list[bytes | None]:
            if failures:
                raise failures.pop()
            return real(self, keys)

        monkeypatch.setattr(RedisChangeNotifier, "_read", read)
        woken: list[bool] = []
        waiter = threading.Thread(target=_wait, args=(world, stored, woken))
        waiter.start()
        wait_for(lambda failures=failures: not failures)
        world.store.commit(Change(stored, stored.verification.cancel(NOW)), NOW)
        waiter.join(5)

        assert woken == [True]


def test_a_master_is_found_by_its_sentinel(servers: dict[str, AnyServer]) -> None:
    for world in open_world(running(servers, SENTINEL), SENTINEL):
        reserved = reserve(world.store, opened(world.store.new_id(NUMBER)), None, NOW)
        assert reserved is not None
        assert world.store.latest_of(NUMBER.value) == reserved
        assert world.store.claim(call_at(NOW), NOW, None, NOW) is Claim.DONE


@pytest.fixture(params=["valkey", "redis"])
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if binary(request.param) is None:
        pytest.skip(f"{request.param}-server is not installed (apt install redis-server)")
    server = Server(request.param).start()
    yield server
    if server.process is not None:
        server.process.send_signal(signal.SIGCONT)
    server.close()


def test_a_write_that_no_replica_has_is_not_acknowledged(
    valkey: Server, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock
) -> None:
    """The server has no replica. A write that is answered with an error has happened even so, and others can see it."""
    with redis_world(valkey.url) as lax, redis_world(valkey.url, min_replicas=1) as strict:
        verifications, calls = use_cases(strict, provider, observer, clock)
        trusting, _ = use_cases(lax, provider, observer, clock)
        with pytest.raises(StoreUnavailable):
            verifications.start("web", CreateCommand(OTHER_NUMBER.value, "login", "flow"))
        made = trusting.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
        assert verifications.get("web", made.id).status is Status.PENDING
        with pytest.raises(StoreUnavailable):
            calls.record(call_at(clock()))
        assert trusting.get("web", made.id).status is Status.VERIFIED
        with pytest.raises(StoreUnavailable):
            verifications.get("web", made.id)
        with pytest.raises(StoreUnavailable):
            verifications.consume("web", made.id, "login", "flow", "who")
        assert trusting.consume("web", made.id, "login", "flow", "who").status is Status.CONSUMED
        with pytest.raises(StoreUnavailable):
            verifications.consume("web", made.id, "login", "flow", "who")


def test_a_restart_heals_by_itself_and_scripts_are_sent_again(own_server: Server) -> None:
    for world in open_world(own_server, "restarted"):
        first = reserve(world.store, opened(world.store.new_id(NUMBER)), None, NOW)
        assert first is not None
        own_server.stop()
        with pytest.raises(StoreUnavailable) as refused:
            world.store.get(first.verification.id)
        assert refused.value.retry_after is not None

        own_server.start()

        assert world.store.get(first.verification.id) is None
        assert reserve(world.store, opened(world.store.new_id(NUMBER)), None, NOW) is not None


def test_a_hanging_server_is_given_up_within_bounds(own_server: Server) -> None:
    for world in open_world(own_server, "hanging"):
        world.probe.ping()
        assert own_server.process is not None
        own_server.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            world.probe.ping()
        assert time.monotonic() - began < 5

        own_server.process.send_signal(signal.SIGCONT)

        wait_for(partial(_answers, world))


def test_waiters_are_told_when_the_server_goes_away(own_server: Server) -> None:
    for world in open_world(own_server, "gone"):
        stored = reserve(world.store, opened(world.store.new_id(NUMBER)), None, NOW)
        assert stored is not None
        own_server.stop()

        with pytest.raises(StoreUnavailable):
            world.changes.wait_for_change(stored, 30)


def test_calls_count_without_the_right_to_publish(
    own_server: Server, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock
) -> None:
    with own_server.client() as client:
        client.execute_command("ACL SETUSER", "mute", "on", ">pass", "~*", "resetchannels", "+@all")
    with redis_world(f"redis://mute:pass@127.0.0.1:{own_server.port}/0") as world:
        verifications, calls = use_cases(world, provider, observer, clock)
        record = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
        assert calls.record(call_at(clock())) is Outcome.CONFIRMED
        assert verifications.consume("web", record.id, "login", "flow").status is Status.CONSUMED
        # A change of a pending record is announced by another script than a call's.
        other = verifications.start("web", CreateCommand(OTHER_NUMBER.value, "login", "flow")).verification
        assert verifications.cancel("web", other.id).status is Status.CANCELED


def test_the_documented_rights_are_enough(own_server: Server) -> None:
    """config/redis.conf names the commands of an ACL user; the whole life of a record needs no other."""
    add_documented_user(own_server)
    url = f"redis://waitcall:pass@127.0.0.1:{own_server.port}/0"
    policy = replace(
        with_limits(number=["5/10m"]), conversion=(ConversionBudget(Group.COUNTRY, Mode.ENFORCE),)
    )
    observer, provider, clock = RecordingObserver(), FakeProvider(), FakeClock()
    with redis_world(url, peppers=(PEPPER, OTHER_PEPPER)) as world:
        verifications, calls = use_cases(world, provider, observer, clock, policy)
        operator = operating(world, observer, clock, policy)
        begun = world.idempotency.begin("web", "route", "key", b"body")
        assert isinstance(begun, Begun)
        world.idempotency.complete(begun, Answer(200, "{}"), 60)
        provider.failures = [ProviderError()]
        ask = CreateCommand(NUMBER.value, "login", "flow")
        with pytest.raises(ProviderError):
            verifications.start("web", ask)
        record = verifications.start("web", ask).verification
        assert world.changes.wait_for_change(Stored(record, b"an older version"), 5)
        assert calls.record(call_at(clock())) is Outcome.CONFIRMED
        world.used_calls.remember_text(NUMBER.value, "[waitcall]", clock() + timedelta(hours=1), clock())
        assert world.used_calls.was_texted_by(NUMBER.value, "[waitcall]")
        verifications.consume("web", record.id, "login", "flow")
        clock.advance(900)
        # Two records are due, one failed and one consumed.
        assert ExpireVerifications(records_of(world, observer), world.deadlines, clock).run() == 2
        assert not world.deadlines.is_busy()
        assert world.used_calls.use_of(call_at(clock() - timedelta(seconds=900)), timedelta(seconds=5))
        order = ProviderOrder("smsru", "1")
        world.orders.remember(order, record.id, clock(), clock())
        world.orders.ask_again(order, clock())
        assert world.orders.to_ask("smsru", clock()) == [order]
        assert world.orders.verification_of(order) == record.id
        world.orders.settle(order)
        with redis_connection(url) as connection:
            term = RedisLeadership(connection).take("worker")
            assert term is not None
            assert RedisProgress(connection).save(term, RedisProgress(connection).load())
            RedisLeadership(connection).resign(term)
            deliver_everything(RedisOutbox(connection, Keys(PEPPER)), clock())
    ask_for_a_replica(url, record.id, clock())
    with redis_world(url, peppers=(PEPPER, OTHER_PEPPER)) as world:
        operator = operating(world, observer, clock, policy)
        for action in ListAction:
            operator.put(
                "ops", action=action, kind=ListKind.NUMBER, subject=NUMBER.value, reason="x", expires_in=9
            )
        operator.explain("ops", Subject(NUMBER.value))
        operator.unblock("ops", Subject(NUMBER.value), "x", conversion=True, verification=True)
        operator.remove("ops", ListKind.NUMBER, NUMBER.value, "x")
        events = Counter(
            entry["event"]
            for entry in world.audit.read(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
        )
    with own_server.client() as client:
        refused = {entry["object"] for entry in client.acl_log()}
    # redis-py sends CLIENT SETINFO when it connects, and ignores a refusal.
    assert refused <= {"client|setinfo"}
    assert events == {
        "failed": 1,
        "started": 1,
        "verified": 1,
        "consumed": 1,
        "block": 1,
        "allow": 1,
        "explain": 1,
        "unblock": 1,
        "remove": 1,
    }


def test_a_full_notifier_refuses_at_once(valkey: Server) -> None:
    connection = Connection(topology_of(Address.parse(valkey.url), 10), lambda _: None)

    keys = Keys(PEPPER)
    stored = Stored(pending(keys.new_id(NUMBER.value)), b"version")

    assert not RedisChangeNotifier(connection, keys, 0).wait_for_change(stored, 30)
    connection.close()


@pytest.mark.parametrize("product", ["valkey", pytest.param("redis", marks=pytest.mark.slow)])
def test_a_hanging_cluster_is_given_up_within_bounds(product: str) -> None:
    if binary(product) is None:
        pytest.skip(f"{product}-server is not installed (apt install redis-server)")
    cluster = Cluster(product, node_timeout_ms=2000)
    try:
        for world in open_world(cluster, "cluster"):
            assert world.store.claim(call_at(NOW), NOW, None, NOW) is Claim.DONE
            _signal(cluster, signal.SIGSTOP)
            for _ in range(3):
                began = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    world.store.get(world.store.new_id(NUMBER))
                assert time.monotonic() - began < 5

            _signal(cluster, signal.SIGCONT)

            wait_for(partial(_answers, world))
    finally:
        _signal(cluster, signal.SIGCONT)
        cluster.close()


def _wait(world: World, stored: Stored, woken: list[bool]) -> None:
    woken.append(world.changes.wait_for_change(stored, 20))


def _answers(world: World) -> bool:
    try:
        world.probe.ping()
    except StoreUnavailable:
        return False
    return True


def _signal(cluster: Cluster, number: signal.Signals) -> None:
    for node in cluster.nodes:
        process: Any = node.process
        os.kill(process.pid, number)


def test_an_order_whose_reservation_was_lost_fails_with_the_error_of_the_order(real_world: World) -> None:
    """A failover lost the reservation. The client gets the error of the order, not "not found"."""
    provider = FakeProvider()
    provider.failures = [ProviderError()]
    provider.during = lambda: flush(real_world)
    verifications, _ = use_cases(real_world, provider, RecordingObserver(), FakeClock())
    with pytest.raises(ProviderError):
        verifications.start("web", CreateCommand(NUMBER.value, "login", "flow"))


def test_a_rival_that_a_failover_lost_refuses_no_create(
    real_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifications, _ = use_cases(real_world, FakeProvider(), RecordingObserver(), FakeClock())
    verifications.start("web", CreateCommand(NUMBER.value, "contested_login", "flow"))
    commit = real_world.store.commit

    def forgotten(*_: object, **__: object) -> None:
        flush(real_world)
        monkeypatch.setattr(real_world.store, "commit", commit)

    monkeypatch.setattr(real_world.store, "commit", forgotten)
    assert verifications.start("web", CreateCommand(NUMBER.value, "contested_login", "another")).created


def flush(world: World) -> None:
    with world.client() as client:
        for key in all_keys(client):
            client.delete(key)


def ask_for_a_replica(url: str, verification_id: str, now: datetime) -> None:
    """Ask for a replica that does not exist, to test that the user may ask."""
    with redis_world(url, min_replicas=1) as world:
        stored = world.store.get(verification_id)
        assert stored is not None
        with pytest.raises(StoreUnavailable) as unsafe:
            world.store.confirm(stored, now)
    assert isinstance(unsafe.value.__cause__, TooFewReplicas)


def deliver_everything(outbox: RedisOutbox, now: datetime) -> None:
    """Take every step that a delivery and an operator can take."""
    outbox.take("worker", 64)
    for name in ("evt_1", "evt_2", "evt_3"):
        outbox.announce(NUMBER.value, Announcement(name, (Delivery(name, "web/main", "{}", 1),), 60))
    first, second, third = outbox.take("worker", 64)
    outbox.arrived(first)
    outbox.defer(second, second.delivery, now)
    outbox.bury(third, third.delivery)
    assert outbox.wake(now + timedelta(seconds=1)) == 1
    assert outbox.backlog().dead == 1
    (letter,) = outbox.dead()
    assert outbox.replay(letter.event_id, "web/main")
    assert len(outbox.take("worker", 64)) == 2
