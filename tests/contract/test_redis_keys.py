"""Keys and scripts on a real server: names, slots, TTLs, scripts that are sent twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis.crc import key_slot

from tests.conftest import AnyServer, open_world, running
from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NOW, NUMBER, call_at, opened, pending, reserve, seconds, use_cases, with_limits
from tests.redis_servers import Cluster, Server, all_keys
from tests.worlds import PEPPER, World, redis_connection, redis_world
from waitcall.adapters.redis.codec import UnknownSchema
from waitcall.adapters.redis.keys import AUDIT_PARTS, Keys
from waitcall.adapters.redis.limits import RedisConversionCounts
from waitcall.adapters.redis.script import Script
from waitcall.application.create import CreateCommand
from waitcall.application.effects import AuditEntry, ConversionCount, Effects
from waitcall.application.ports import Begun, Change, Claim
from waitcall.domain.conversion import Bucket, ConversionBudget, Group
from waitcall.domain.errors import RecordUnreadable
from waitcall.domain.limits import Limit, LimitCheck, Mode, Scope
from waitcall.domain.lists import ListAction, ListEntry, ListKind
from waitcall.domain.matching import Outcome, judge_call
from waitcall.domain.policy import Audit
from waitcall.domain.status import Status


def test_every_key_of_a_number_shares_one_slot() -> None:
    keys = Keys(PEPPER)
    verification_id = keys.new_id(NUMBER.value)
    record = keys.record(verification_id)
    assert record is not None
    names = [
        keys.latest(keys.tag(NUMBER.value)),
        record,
        keys.call(keys.tag(NUMBER.value), call_at(NOW)),
        keys.shown(keys.tag(NUMBER.value)),
        keys.limit(LimitCheck(Scope.NUMBER, NUMBER.value, Limit(5, 600))),
    ]

    assert len({key_slot(name.encode()) for name in names}) == 1
    assert len(set(names)) == len(names)


def test_every_key_expires_and_none_names_the_number(real_world: World) -> None:
    """The keys are checked after every kind of write. The digits are searched for without the +."""
    store, digits = real_world.store, NUMBER.digits

    def check() -> None:
        with real_world.client() as client:
            keys = all_keys(client)
        assert keys
        assert [name for name, ttl in keys.items() if ttl < 0] == []
        assert [name for name in keys if digits in name or digits[1:] in name] == []

    reserved = reserve(store, opened(store.new_id(NUMBER)), None, NOW)
    assert reserved is not None
    check()
    assigned = store.commit(Change(reserved, pending(reserved.verification.id), holding=True), NOW)
    assert assigned is not None
    check()
    _, verified = judge_call(assigned.verification, call_at(NOW), NOW, seconds(5))
    store.claim(call_at(NOW), NOW + seconds(900), Change(assigned, verified), NOW)
    check()
    store.claim(call_at(NOW - seconds(60)), NOW + seconds(900), None, NOW)
    real_world.limits.take([LimitCheck(Scope.IP, "192.0.2.1", Limit(5, 600))], "token", NOW)
    check()
    counted = ConversionCount(ConversionBudget(Group.COUNTRY, Mode.ENFORCE), "RU", NOW, called=False)
    store.claim(call_at(NOW - seconds(61)), NOW + seconds(900), None, NOW, Effects(conversions=(counted,)))
    check()
    entry = ListEntry(ListAction.BLOCK, ListKind.NUMBER, NUMBER.value, "x", "ops", NOW, NOW + seconds(60))
    real_world.lists.put(entry, NOW)
    check()
    real_world.lists.remove(ListKind.NUMBER, NUMBER.value)
    check()
    real_world.audit.append(AuditEntry(NOW, "started", "client:web", NUMBER.value, "ver_x"))
    check()
    begun = real_world.idempotency.begin("web", "route", "key", b"body")
    check()
    assert isinstance(begun, Begun)
    store.release(reserved, None, NOW)
    check()


def test_a_record_is_kept_until_it_may_be_forgotten(real_world: World) -> None:
    store = real_world.store
    reserved = reserve(store, opened(store.new_id(NUMBER)), None, NOW)
    assert reserved is not None
    store.commit(Change(reserved, pending(reserved.verification.id), holding=True), NOW)

    with real_world.client() as client:
        ttls = [ttl for key, ttl in all_keys(client).items() if not key.endswith(":due")]

    # The TTL is the window, a day of retention and ten seconds of padding.
    assert len(ttls) == 2
    assert all(0 <= (900 + 86400 + 10) * 1000 - ttl < 5000 for ttl in ttls)


def test_a_number_whose_record_vanished_is_free(real_world: World) -> None:
    """A record may be lost in a failover, deleted by hand, or expire a moment before its pointer."""
    store = real_world.store
    first = reserve(store, opened(store.new_id(NUMBER)), None, NOW)
    assert first is not None
    with real_world.client() as client:
        for name in all_keys(client):
            if ":v:" in name:
                client.delete(name)

    assert store.latest_of(NUMBER.value) is None
    assert reserve(store, opened(store.new_id(NUMBER)), None, NOW) is not None


def test_a_document_of_another_schema_is_refused_with_an_explanation(real_world: World) -> None:
    store = real_world.store
    stored = reserve(store, opened(store.new_id(NUMBER)), None, NOW)
    assert stored is not None
    with real_world.client() as client:
        (name,) = [name for name in all_keys(client) if ":v:" in name]
        client.set(name, stored.version.replace(b'"schema":2', b'"schema":6'), px=60000)

    with pytest.raises(RecordUnreadable) as refused:
        store.get(stored.verification.id)
    assert isinstance(refused.value.__cause__, UnknownSchema)
    assert "schema 6" in str(refused.value.__cause__)


def test_scripts_sent_twice_do_their_work_once(real_world: World) -> None:
    """The answer of a script can be lost with its connection, and redis-py then sends the script again."""
    with real_world.client() as client:
        tag = "waitcall:{t}:"
        reserve = ["", "id", b"doc", 60000]
        claim = ["token", 60000, b"doc", b"doc2", 60000, "id"]
        replace = [b"doc2", b"doc3", 60000, "id", "1"]
        for name, keys, args in (
            ("reserve", [tag + "l", tag + "v"], reserve),
            ("claim", [tag + "c", tag + "v", tag + "l"], claim),
            ("replace", [tag + "v", tag + "l"], replace),
        ):
            first = Script(name).run(client, keys, args)
            assert first in (1, b"done")
            # The second answer says that the work had been done, so the caller does nothing twice.
            assert Script(name).run(client, keys, args) in (2, b"again")


def test_no_server_is_asked_for_the_keys_of_a_script(servers: dict[str, AnyServer], clock: FakeClock) -> None:
    """redis-py would ask a node for the keys of each script in a cluster's pipeline, over a connection of its own."""
    observer = RecordingObserver()
    policy = replace(
        with_limits(number=["5/10m"]), conversion=(ConversionBudget(Group.COUNTRY, Mode.ENFORCE),)
    )
    for world in open_world(running(servers, "valkey-cluster"), "valkey-cluster"):
        cluster = world.server
        before = asked_for_keys(cluster)
        verifications, calls = use_cases(world, FakeProvider(), observer, clock, policy)
        record = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
        assert calls.record(call_at(clock())) is Outcome.CONFIRMED
        assert verifications.consume("web", record.id, "login", "flow").status is Status.CONSUMED
        assert asked_for_keys(cluster) == before


def asked_for_keys(cluster: Cluster) -> int:
    found = 0
    for node in cluster.nodes:
        with node.client() as client:
            stats = client.info("commandstats")
            found += sum(each["calls"] for name, each in stats.items() if "getkeys" in name)
    return found


def test_the_counts_of_a_bucket_are_kept_for_more_than_two_windows(valkey: Server) -> None:
    """Only the first count of a bucket sets the TTL of the hash, and each count is needed for one window."""
    budget = ConversionBudget(Group.COUNTRY, Mode.ENFORCE)
    with redis_connection(valkey.url) as connection, valkey.client() as client:
        client.flushall()
        conversions = RedisConversionCounts(connection, Keys(PEPPER))
        step = conversions.step(ConversionCount(budget, "RU", NOW, called=False))
        for _ in range(3):
            with connection.using("count_conversion") as redis:
                step.script.run(redis, step.keys, step.args)
        (kept,) = all_keys(client).values()
        assert kept > 2 * budget.window_seconds * 1000
        assert conversions.buckets(budget, "RU") == [Bucket(budget.bucket_of(NOW), 3, 0)]


def test_the_audit_stream_stays_about_as_long_as_it_may_be(valkey: Server) -> None:
    """The stream is trimmed only now and then, and by whole nodes of a hundred entries."""
    bounds = Audit(max_entries=100 * AUDIT_PARTS)
    entry = AuditEntry(datetime.now(UTC), "tested", "operator:a")
    with redis_world(valkey.url, audit=bounds) as world, valkey.client() as client:
        client.flushall()
        for _ in range(600):
            world.audit.append(entry)
        (stream,) = all_keys(client)
        assert 100 <= client.xlen(stream) <= 100 + 100 + 64


def test_a_call_in_conflict_is_not_stored_as_used(valkey: Server) -> None:
    with redis_world(valkey.url) as world, valkey.client() as client:
        client.flushall()
        stored = reserve(world.store, opened(world.store.new_id(NUMBER)), None, NOW)
        assert stored is not None
        stale = replace(stored, version=b"another")
        call = call_at(NOW)
        claimed = world.store.claim(
            call, NOW + timedelta(minutes=15), Change(stale, stored.verification), NOW
        )
        assert claimed is Claim.CONFLICT
        assert not [key for key in all_keys(client) if ":call:" in key]
        assert world.store.claim(call, NOW + timedelta(minutes=15), None, NOW) is Claim.DONE
        assert world.store.claim(call, NOW + timedelta(minutes=15), None, NOW) is Claim.REPEATED
