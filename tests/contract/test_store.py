"""Behaviour of every store: memory, Valkey, Redis, and clusters of three masters of both."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from tests.making import NOW, NUMBER, OTHER_NUMBER, call_at, opened, pending, plan, reserve, seconds, together
from tests.worlds import World
from waitcall.application.effects import AuditEntry, ConversionCount, Effects
from waitcall.application.ports import Answer, Begun, Change, Claim, Stored
from waitcall.domain.conversion import Bucket, ConversionBudget, Group
from waitcall.domain.errors import IdempotencyInFlight, IdempotencyKeyReused
from waitcall.domain.limits import Limit, LimitCheck, LimitResult, LimitState, Mode, Scope
from waitcall.domain.lists import ListAction, ListEntry, ListKind
from waitcall.domain.matching import judge_call
from waitcall.domain.numbers import E164
from waitcall.domain.status import Status

KEEP_UNTIL = NOW + seconds(1000)


def _kept(world: World, **made: object) -> Stored:
    record = pending(world.store.new_id(made.get("number", NUMBER)), **made)
    stored = reserve(world.store, record, None, NOW)
    assert stored is not None
    return stored


def test_a_stored_record_comes_back_unchanged(world: World) -> None:
    stored = _kept(world)

    assert stored == world.store.get(stored.verification.id)
    assert stored == world.store.latest_of(NUMBER.value)
    assert world.store.latest_of(OTHER_NUMBER.value) is None


@pytest.mark.parametrize("unknown", ["", "ver_", "ver_00", "x" * 300, "ver_" + "0" * 64, "ver_" + "é" * 64])
def test_an_unknown_or_malformed_id_is_not_found(world: World, unknown: str) -> None:
    assert world.store.get(unknown) is None


def test_many_records_are_read_at_once_in_the_order_of_the_ids(world: World) -> None:
    first, second = _kept(world), _kept(world, number=OTHER_NUMBER)
    asked = [
        second.verification.id,
        "ver_" + "0" * 64,
        first.verification.id,
        "nothing",
        second.verification.id,
    ]

    found = world.store.get_many(asked)

    ids = [each.verification.id if isinstance(each, Stored) else each for each in found]
    assert ids == [second.verification.id, None, first.verification.id, None, second.verification.id]
    assert world.store.get_many([]) == []


def test_a_deadline_is_postponed_unless_it_was_scheduled_again_meanwhile(world: World) -> None:
    deadlines, kept = world.deadlines, {}
    for index in range(40):
        number = E164(f"+7999123{index:04}")
        made = opened(world.store.new_id(number), number=number)
        kept[made.id] = reserve(world.store, made, None, NOW)
    ids = list(kept)
    put_off, over, anew, not_due = ids[:10], ids[10:20], ids[20:30], ids[30:]

    def schedule(verification_id: str, due: datetime) -> None:
        stored = world.store.get(verification_id)
        assert stored is not None
        plan(world.store, stored, due, NOW)

    for each in (*put_off, *over, *anew):
        schedule(each, NOW)
    for each in not_due:
        schedule(each, NOW + seconds(60))
    assert sorted(deadlines.due(NOW)) == sorted(put_off + over + anew)

    for each in anew:
        schedule(each, NOW + seconds(5))
    late = NOW + seconds(900)
    deadlines.postpone(dict.fromkeys(put_off + anew + not_due, late) | dict.fromkeys(over), NOW)

    assert deadlines.due(NOW) == []
    assert sorted(deadlines.due(NOW + seconds(5))) == sorted(anew)
    assert sorted(deadlines.due(NOW + seconds(60))) == sorted(anew + not_due)
    assert sorted(deadlines.due(late)) == sorted(anew + not_due + put_off)


def test_a_number_is_taken_by_one_of_fifty(world: World) -> None:
    records = [opened(world.store.new_id(NUMBER)) for _ in range(50)]

    results = together(50, lambda index: reserve(world.store, records[index], None, NOW))

    winners = [result for result in results if result is not None]
    assert len(winners) == 1
    assert world.store.latest_of(NUMBER.value) == winners[0]


def test_a_reservation_replaces_only_the_record_that_was_seen(world: World) -> None:
    first = _kept(world)
    second = opened(world.store.new_id(NUMBER))

    assert reserve(world.store, second, None, NOW) is None
    assert reserve(world.store, second, first, NOW) is not None
    assert world.store.get(first.verification.id) == first


def test_a_release_gives_the_number_back_to_the_record_before(world: World) -> None:
    first = _kept(world)
    second = reserve(world.store, opened(world.store.new_id(NUMBER)), first, NOW)
    assert second is not None

    world.store.release(second, first, NOW)

    assert world.store.latest_of(NUMBER.value) == first
    assert world.store.get(second.verification.id) is None


def test_a_change_needs_the_version_that_was_read(world: World) -> None:
    stored = _kept(world)
    canceled = stored.verification.cancel(NOW)

    assert world.store.commit(Change(stored, canceled), NOW) is not None
    assert world.store.commit(Change(stored, canceled), NOW) is None


def test_the_same_change_by_a_hundred_happens_once(world: World) -> None:
    """Two writes are told apart even if their documents have the same content."""
    stored = _kept(world)
    canceled = stored.verification.cancel(NOW)

    results = together(100, lambda _: world.store.commit(Change(stored, canceled), NOW))

    assert len([result for result in results if result is not None]) == 1


def test_a_holding_change_is_refused_once_another_record_has_the_number(world: World) -> None:
    first = _kept(world)
    assert reserve(world.store, opened(world.store.new_id(NUMBER)), first, NOW) is not None

    assert world.store.commit(Change(first, first.verification.cancel(NOW), holding=True), NOW) is None
    assert world.store.commit(Change(first, first.verification.cancel(NOW)), NOW) is not None


def test_a_call_is_used_by_one_of_a_hundred(world: World) -> None:
    stored = _kept(world)
    call = call_at(NOW)
    _, verified = judge_call(stored.verification, call, NOW, seconds(5))

    results = together(100, lambda _: world.store.claim(call, KEEP_UNTIL, Change(stored, verified), NOW))

    assert Counter({Claim.DONE: 1, Claim.REPEATED: 99}) == Counter(results)
    after = world.store.get(stored.verification.id)
    assert after is not None
    assert after.verification.status is Status.VERIFIED


def test_a_call_that_met_a_change_is_not_used_up(world: World) -> None:
    stored = _kept(world)
    _, verified = judge_call(stored.verification, call_at(NOW), NOW, seconds(5))
    changed = world.store.commit(Change(stored, stored.verification.cancel(NOW)), NOW)

    assert world.store.claim(call_at(NOW), KEEP_UNTIL, Change(stored, verified), NOW) is Claim.CONFLICT
    assert world.store.get(stored.verification.id) == changed
    assert world.store.claim(call_at(NOW), KEEP_UNTIL, None, NOW) is Claim.DONE


def test_calls_of_other_numbers_and_times_are_other_calls(world: World) -> None:
    calls = [call_at(NOW), call_at(NOW + seconds(1)), call_at(NOW, OTHER_NUMBER)]

    assert [world.store.claim(call, KEEP_UNTIL, None, NOW) for call in calls] == [Claim.DONE] * 3
    assert [world.store.claim(call, KEEP_UNTIL, None, NOW) for call in calls] == [Claim.REPEATED] * 3


def test_a_waiter_is_woken_by_the_change(world: World) -> None:
    stored = _kept(world)
    woken = threading.Event()
    waiter = threading.Thread(target=lambda: world.changes.wait_for_change(stored, 30) and woken.set())
    waiter.start()

    world.store.commit(Change(stored, stored.verification.cancel(NOW)), NOW)

    assert woken.wait(5)
    waiter.join()


def test_many_waiters_are_woken_each_by_its_own_change(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The numbers are in many slots of a cluster, and no server refuses to announce their changes."""
    numbers = [E164(f"+7999123{index:04d}") for index in range(40)]
    kept = [_kept(world, number=number) for number in numbers]
    asleep = threading.Semaphore(0)

    def wait(index: int) -> bool:
        asleep.release()
        return world.changes.wait_for_change(kept[index], 30)

    with ThreadPoolExecutor(40) as threads:
        waiting = [threads.submit(wait, index) for index in range(40)]
        for _ in range(40):
            asleep.acquire()
        for stored in kept:
            assert world.store.commit(Change(stored, stored.verification.cancel(NOW)), NOW)
        assert all(each.result(10) for each in waiting)
    assert "no announcements" not in caplog.text


def test_a_wait_ends_without_a_change(world: World) -> None:
    assert world.changes.wait_for_change(_kept(world), 0.05)


def test_a_limit_lets_exactly_its_count_through(world: World) -> None:
    limit_check = [LimitCheck(Scope.NUMBER, NUMBER.value, Limit(5, 600))]

    results = together(50, lambda index: world.limits.take(limit_check, f"token{index}", NOW))

    assert [type(each) for each in results] == [LimitResult] * 50
    refused = [each.refusal for each in results if isinstance(each, LimitResult) and each.refusal]
    assert len(refused) == 45
    assert {(state.used, state.reset_seconds) for state in refused} == {(5, 600)}


def _wait(world: World, limit_checks: list[LimitCheck], token: str | None, at: datetime = NOW) -> int | None:
    refusal = world.limits.take(limit_checks, token, at).refusal
    return refusal.reset_seconds if refusal else None


def test_a_limit_slides(world: World) -> None:
    limit_check = [LimitCheck(Scope.CLIENT, "web", Limit(2, 60))]
    assert _wait(world, limit_check, "a") is None
    assert _wait(world, limit_check, "b", NOW + seconds(30)) is None

    assert _wait(world, limit_check, "c", NOW + seconds(59)) == 1
    assert _wait(world, limit_check, "c", NOW + seconds(60)) is None
    assert _wait(world, limit_check, "d", NOW + seconds(61)) == 29


def test_a_clock_that_is_ahead_promises_no_longer_wait_than_the_period(world: World) -> None:
    """Replicas read their own clocks, so a use may be counted at a time that is a moment ahead."""
    limit_check = LimitCheck(Scope.NUMBER, NUMBER.value, Limit(1, 60))
    world.limits.take([limit_check], "a", NOW + seconds(0.8))
    (state,) = world.limits.look([limit_check], NOW)
    assert (state.used, state.reset_seconds) == (1, 60)


def test_an_act_that_one_limit_refuses_is_counted_by_none(world: World) -> None:
    wide = LimitCheck(Scope.CLIENT, "web", Limit(2, 60))
    narrow = LimitCheck(Scope.NUMBER, NUMBER.value, Limit(1, 60))
    assert _wait(world, [wide, narrow], "a") is None
    assert _wait(world, [wide, narrow], "b") == 60

    assert _wait(world, [wide], "c") is None


def test_a_limit_that_only_records_refuses_nothing_and_tells(world: World) -> None:
    watched = LimitCheck(Scope.IP, "192.0.2.1", Limit(1, 60, Mode.RECORD_ONLY))
    enforced = LimitCheck(Scope.CLIENT, "web", Limit(3, 60))
    first, second = (world.limits.take([watched, enforced], token, NOW) for token in ("a", "b"))

    assert (first.refusal, first.exceeded) == (None, ())
    assert (second.refusal, [each.scope for each in second.exceeded]) == (None, [Scope.IP])
    assert [state.used for state in world.limits.look([watched, enforced], NOW)] == [1, 2]


def test_an_act_without_a_token_counts_each_time(world: World) -> None:
    limit_check = [LimitCheck(Scope.READ, "web", Limit(2, 60))]

    assert [_wait(world, limit_check, None) for _ in range(3)] == [None, None, 60]


def test_looking_spends_nothing_and_clearing_forgets(world: World) -> None:
    limit_check = [LimitCheck(Scope.CLIENT, "web", Limit(2, 60))]
    assert world.limits.look(limit_check, NOW) == [LimitState(Scope.CLIENT, Limit(2, 60), 0, 0)]
    world.limits.take(limit_check, "a", NOW)
    for _ in range(3):
        assert world.limits.look(limit_check, NOW + seconds(10)) == [
            LimitState(Scope.CLIENT, Limit(2, 60), 1, 50)
        ]

    world.limits.clear(limit_check)

    assert world.limits.look(limit_check, NOW) == [LimitState(Scope.CLIENT, Limit(2, 60), 0, 0)]


def test_a_use_that_is_given_back_can_be_spent_again(world: World) -> None:
    limit_check = [LimitCheck(Scope.GLOBAL, "", Limit(1, 60))]
    assert _wait(world, limit_check, "a") is None
    world.limits.give_back(limit_check, "a")

    assert _wait(world, limit_check, "b") is None


BUDGET = ConversionBudget(Group.PREFIX, Mode.ENFORCE, window_seconds=3600, digits=5)


def test_conversions_are_counted_exactly_and_by_the_time_of_showing(world: World) -> None:
    def count(index: int, subject: str = "+79991", shown_at: datetime = NOW, *, called: bool = False) -> None:
        effects = Effects(conversions=(ConversionCount(BUDGET, subject, shown_at, called),))
        use = call_at(NOW - seconds(index))
        assert world.store.claim(use, KEEP_UNTIL, None, NOW, effects) is Claim.DONE
        # The call was used before, so it counts for nothing.
        assert world.store.claim(use, KEEP_UNTIL, None, NOW, effects) is Claim.REPEATED

    together(40, count)
    together(30, lambda index: count(100 + index, called=True))
    count(200, shown_at=NOW + seconds(600))
    count(201, "+79992")

    start = BUDGET.bucket_of(NOW)
    found = sorted(world.conversions.buckets(BUDGET, "+79991"), key=lambda each: each.start)

    assert found == [Bucket(start, 40, 30), Bucket(start + 600, 1, 0)]
    world.conversions.clear(BUDGET, "+79991")
    assert world.conversions.buckets(BUDGET, "+79991") == []
    assert world.conversions.buckets(BUDGET, "+79992") == [Bucket(start, 1, 0)]


def _entry(subject: str = "+7999", action: ListAction = ListAction.BLOCK, lasting: float = 3600) -> ListEntry:
    return ListEntry(
        action, ListKind.PREFIX, subject, "a reason, и причина", "ops", NOW, NOW + seconds(lasting)
    )


def test_the_lists_keep_one_entry_a_subject(world: World) -> None:
    world.lists.put(_entry(), NOW)
    world.lists.put(_entry("+7998"), NOW)
    world.lists.put(_entry(action=ListAction.ALLOW), NOW)

    found = world.lists.directory()

    assert found.naming_number(NUMBER, NOW) == [_entry(action=ListAction.ALLOW)]
    assert found.naming_number(NUMBER, NOW + seconds(3600)) == []
    assert world.lists.remove(ListKind.PREFIX, "+7999")
    assert not world.lists.remove(ListKind.PREFIX, "+7999")
    assert list(world.lists.directory().entries.values()) == [_entry("+7998")]


def test_the_audit_stream_is_read_in_order_and_by_number(world: World) -> None:
    for index, number in enumerate([NUMBER.value, "+79991234568", None, NUMBER.value]):
        world.audit.append(
            AuditEntry(
                NOW + seconds(index), "started", "client:web", number, "ver_x", {"purpose": f"p{index}"}
            )
        )

    everything = list(world.audit.read(_EPOCH, _FAR))
    of_number = list(world.audit.read(_EPOCH, _FAR, NUMBER.value))
    later = list(world.audit.read(NOW + seconds(2), _FAR))

    assert [each["purpose"] for each in everything] == ["p0", "p1", "p2", "p3"]
    assert [each["purpose"] for each in of_number] == ["p0", "p3"]
    assert [each["at"][:19] for each in later] == ["2026-01-01T12:00:02", "2026-01-01T12:00:03"]
    assert {(each["event"], each["actor"]) for each in everything} == {("started", "client:web")}


_EPOCH, _FAR = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def test_a_key_is_taken_by_one_of_fifty(world: World) -> None:
    # The first round opens the connections. Only in later rounds do all threads ask at the same moment.
    for key in ("first", "second", "third"):
        results = together(50, lambda _, key=key: world.idempotency.begin("web", "POST /", key, b"body"))

        assert len([result for result in results if isinstance(result, Begun)]) == 1
        assert len([result for result in results if isinstance(result, IdempotencyInFlight)]) == 49


def test_a_stored_answer_is_given_to_the_same_request_only(world: World) -> None:
    begun = world.idempotency.begin("web", "POST /", "key", b"body")
    assert isinstance(begun, Begun)
    answer = Answer(201, '{"id": "ü"}', "/v1/x")
    world.idempotency.complete(begun, answer, 60)

    assert answer == world.idempotency.begin("web", "POST /", "key", b"body")
    with pytest.raises(IdempotencyKeyReused):
        world.idempotency.begin("web", "POST /", "key", b"other body")
    for client, route in (("app", "POST /"), ("web", "POST /other")):
        assert isinstance(world.idempotency.begin(client, route, "key", b"body"), Begun)


def test_a_key_in_flight_still_knows_its_request(world: World) -> None:
    world.idempotency.begin("web", "POST /", "key", b"body")

    with pytest.raises(IdempotencyKeyReused):
        world.idempotency.begin("web", "POST /", "key", b"other body")


def test_an_abandoned_key_is_free(world: World) -> None:
    begun = world.idempotency.begin("web", "POST /", "key", b"body")
    assert isinstance(begun, Begun)
    world.idempotency.abandon(begun)

    assert isinstance(world.idempotency.begin("web", "POST /", "key", b"other body"), Begun)
