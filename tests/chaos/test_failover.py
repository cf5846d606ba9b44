"""A master dies before its replica got the latest writes.

With MIN_REPLICAS=1 every write that the service has acknowledged survives.
"""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, OTHER_NUMBER, POLICY, call_at, messages_of, use_cases
from tests.redis_servers import ReplicatedCluster, ReplicatedSentinel, Server, replicates, wait_for
from tests.worlds import PEPPER, World, redis_world
from waitcall.adapters.redis.keys import READY, Keys
from waitcall.application.create import CreateCommand
from waitcall.domain.channel import Channel
from waitcall.domain.errors import AlreadyConsumed, StoreUnavailable
from waitcall.domain.matching import InboundText, Outcome
from waitcall.domain.policy import Policy, Purpose
from waitcall.domain.status import Status

pytestmark = pytest.mark.slow
KEY = Keys(PEPPER).latest(Keys(PEPPER).tag(NUMBER.value))
ASK = CreateCommand(NUMBER.value, "login", "flow")


@pytest.fixture(params=[ReplicatedSentinel, ReplicatedCluster], ids=["sentinel", "cluster"])
def replicated(request: pytest.FixtureRequest) -> Iterator[Any]:
    servers = request.param("valkey")
    yield servers
    for server in servers.pair(KEY):
        if server.process is not None:
            server.process.send_signal(signal.SIGCONT)
    servers.close()


class Stage:
    """A pending verification, and the master and replica that store it."""

    def __init__(self, replicated: Any, world: World, policy: Policy = POLICY) -> None:
        self.world, self.clock, self.observer = world, FakeClock(), RecordingObserver()
        self.master, self.replica = replicated.pair(KEY)
        self.verifications, self.calls = use_cases(world, FakeProvider(), self.observer, self.clock, policy)
        self.id = self.verifications.start("web", ASK).verification.id

    def cut_off(self) -> None:
        """Stop replication. The replica has everything up to now and gets no later write."""
        self.in_step()
        assert self.replica.process is not None
        self.replica.process.send_signal(signal.SIGSTOP)
        with self.master.client() as client:
            client.execute_command("CLIENT KILL TYPE replica")

    def fail_over(self) -> None:
        """Stop the master and wait until the replica, which lacks the later writes, is the master."""
        self.master.stop()
        assert self.replica.process is not None
        self.replica.process.send_signal(signal.SIGCONT)
        wait_for(lambda: role(self.replica) == "master", seconds=60)
        wait_for(lambda: knows(self.world, self.id), seconds=60)

    def consume(self, redeemer: str | None = None) -> Status:
        return self.verifications.consume("web", self.id, "login", "flow", redeemer).status

    def status(self) -> Status:
        stored = self.world.store.get(self.id)
        assert stored is not None
        return stored.verification.status

    def in_step(self) -> None:
        with self.master.client() as client:
            client.set(
                "waitcall:{step}:x" if "cluster" not in self.world.name else KEY + ":step", "1", px=9000
            )
            assert client.wait(1, 5000) == 1


def knows(world: World, verification_id: str) -> bool:
    """Tell whether the record can be read. Just after a fail-over the client still asks the dead master."""
    try:
        return world.store.get(verification_id) is not None
    except StoreUnavailable:
        return False


def role(server: Server) -> str:
    with server.client() as client:
        return str(client.info("replication")["role"])


def test_an_acknowledged_consume_survives_a_fail_over(replicated: Any) -> None:
    with redis_world(replicated.url, type(replicated).__name__.lower(), min_replicas=1) as world:
        stage = Stage(replicated, world)
        assert stage.calls.record(call_at(stage.clock())) is Outcome.CONFIRMED
        assert stage.consume() is Status.CONSUMED
        stage.cut_off()
        stage.fail_over()
        assert stage.status() is Status.CONSUMED
        with pytest.raises(AlreadyConsumed):
            stage.consume()


def test_a_consume_that_no_replica_has_is_not_acknowledged_and_can_be_asked_again(replicated: Any) -> None:
    with redis_world(replicated.url, type(replicated).__name__.lower(), min_replicas=1) as world:
        stage = Stage(replicated, world)
        stage.calls.record(call_at(stage.clock()))
        stage.cut_off()
        with pytest.raises(StoreUnavailable):
            stage.consume("flow-1")
        # A repeated request fails as well, although the master has the write.
        with pytest.raises(StoreUnavailable):
            stage.consume("flow-1")
        stage.fail_over()
        assert stage.status() is Status.VERIFIED
        # The new master has no replica yet, so the operator must set MIN_REPLICAS=0 to go on.
        with redis_world(replicated.url, min_replicas=0) as alone:
            verifications, _ = use_cases(alone, FakeProvider(), stage.observer, stage.clock)
            wait_for(lambda: knows(alone, stage.id))
            assert verifications.consume("web", stage.id, "login", "flow", "flow-1").status is Status.CONSUMED


def test_a_call_that_no_replica_has_is_not_acknowledged_so_that_it_is_sent_again(replicated: Any) -> None:
    with redis_world(replicated.url, type(replicated).__name__.lower(), min_replicas=1) as world:
        stage = Stage(replicated, world)
        call = call_at(stage.clock())
        stage.cut_off()
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                stage.calls.record(call)
        stage.fail_over()
        assert stage.status() is Status.PENDING
        with redis_world(replicated.url, min_replicas=0) as alone:
            _, calls = use_cases(alone, FakeProvider(), stage.observer, stage.clock)
            wait_for(lambda: knows(alone, stage.id))
            assert calls.record(call) is Outcome.CONFIRMED


def test_a_text_that_no_replica_has_is_not_acknowledged_so_that_it_is_sent_again(replicated: Any) -> None:
    login = Purpose("login", channels=(Channel.TEXT_IN,))
    policy = replace(POLICY, purposes={"login": login}, text_in_numbers=(OTHER_NUMBER,))
    with redis_world(replicated.url, type(replicated).__name__.lower(), min_replicas=1) as world:
        stage = Stage(replicated, world, policy)
        asked = stage.verifications.get("web", stage.id).text_in
        assert asked is not None
        message = InboundText(NUMBER.value, asked.number.value, asked.text)
        messages = messages_of(world, stage.observer, stage.clock, policy)
        stage.cut_off()
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                messages.record_text(message)
        stage.fail_over()
        assert stage.status() is Status.PENDING
        with redis_world(replicated.url, min_replicas=0) as alone:
            again = messages_of(alone, stage.observer, stage.clock, policy)
            wait_for(lambda: knows(alone, stage.id))
            assert again.record_text(message) is Outcome.CONFIRMED


def test_the_inbox_does_not_skip_a_used_call_that_no_replica_has(replicated: Any) -> None:
    """Otherwise a worker that still talks to a replaced master would skip the call for good."""
    with redis_world(replicated.url, type(replicated).__name__.lower(), min_replicas=1) as world:
        stage = Stage(replicated, world)
        stage.cut_off()
        call = call_at(stage.clock())
        with pytest.raises(StoreUnavailable):
            stage.calls.record(call)
        with pytest.raises(StoreUnavailable):
            stage.calls.reconcile(call)


def test_a_number_to_dial_is_shown_only_once_a_replica_knows_it(replicated: Any) -> None:
    with redis_world(replicated.url, type(replicated).__name__.lower(), min_replicas=1) as world:
        stage = Stage(replicated, world)
        with redis_world(replicated.url, min_replicas=1) as another:
            verifications, _ = use_cases(another, FakeProvider(), stage.observer, stage.clock)
            stage.verifications.cancel("web", stage.id)
            stage.cut_off()
            # The second create finds the first one's record at the master and must fail all the same.
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    verifications.start("web", ASK)


def test_a_read_says_verified_only_once_a_replica_knows_it(replicated: Any) -> None:
    with redis_world(replicated.url, type(replicated).__name__.lower(), min_replicas=1) as world:
        stage = Stage(replicated, world)
        stage.cut_off()
        assert stage.verifications.get("web", stage.id).status is Status.PENDING
        with pytest.raises(StoreUnavailable):
            stage.calls.record(call_at(stage.clock()))
        assert stage.status() is Status.VERIFIED
        with pytest.raises(StoreUnavailable):
            stage.verifications.get("web", stage.id)


def test_a_client_leaves_a_master_that_does_not_know_it_was_replaced() -> None:
    """Pooled connections lead to the old master until the client asks the sentinel again."""
    with ExitStack() as stack:
        servers = ReplicatedSentinel("valkey")
        stack.callback(servers.close)
        world = stack.enter_context(redis_world(servers.url, "replicatedsentinel", min_replicas=1))
        stage = Stage(servers, world)
        stage.calls.record(call_at(stage.clock()))
        stage.in_step()
        with Redis(port=servers.sentinel.port) as sentinel, servers.replica.client() as replica:
            sentinel.execute_command("SENTINEL REMOVE mymaster")
            replica.execute_command("REPLICAOF NO ONE")
            sentinel.execute_command(f"SENTINEL MONITOR mymaster 127.0.0.1 {servers.replica.port} 1")
        third = Server("valkey", "--replicaof", f"127.0.0.1 {servers.replica.port}").start()
        stack.callback(third.close)
        wait_for(lambda: replicates(third))
        with pytest.raises(StoreUnavailable):
            stage.consume()
        assert stage.consume() is Status.CONSUMED


def test_readiness_alone_finds_the_new_master_of_a_cluster() -> None:
    """Pods that are not ready get no requests, so their probes must find the node that has the slots now."""
    with ExitStack() as stack:
        servers = ReplicatedCluster("valkey")
        stack.callback(servers.close)
        master, replica = servers.pair(READY[0])
        # With a second replica the new master has one, although the old master stays away.
        servers.add_replica("valkey", master)
        world = stack.enter_context(redis_world(servers.url, "replicatedcluster", min_replicas=1))
        world.probe.ping()
        master.stop()
        wait_for(lambda: "master" in {role(replica), role(servers.replicas[-1])})
        wait_for(lambda: is_ready(world))


def is_ready(world: World) -> bool:
    try:
        world.probe.ping()
    except StoreUnavailable:
        return False
    return True


def test_without_min_replicas_an_acknowledged_consume_can_be_lost(replicated: Any) -> None:
    """With MIN_REPLICAS=0 a proof can be consumed twice after a fail-over, as its documentation says."""
    with redis_world(replicated.url, type(replicated).__name__.lower(), min_replicas=0) as world:
        stage = Stage(replicated, world)
        stage.calls.record(call_at(stage.clock()))
        stage.cut_off()
        assert stage.consume() is Status.CONSUMED
        stage.fail_over()
        assert stage.status() is Status.VERIFIED
        assert stage.consume() is Status.CONSUMED
