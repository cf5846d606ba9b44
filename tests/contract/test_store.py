"""One suite over every store: memory, Valkey, Redis, and clusters of three masters of both."""

import threading
from collections import Counter

import pytest

from service.application.ports import Answer, Begun, Claim, Stored
from service.domain.errors import IdempotencyInFlight, IdempotencyKeyReused
from service.domain.limits import Limit, Scope, Spending
from service.domain.status import Status
from tests.conftest import World
from tests.making import NOW, NUMBER, OTHER_NUMBER, call_at, opened, pending, seconds, together

KEEP_UNTIL = NOW + seconds(1000)


def _kept(world: World, **made: object) -> Stored:
    record = pending(world.store.new_id(NUMBER), **made)
    stored = world.store.reserve(record, None, NOW)
    assert stored is not None
    return stored


def test_what_is_stored_comes_back_whole(world: World) -> None:
    stored = _kept(world)

    assert stored == world.store.get(stored.verification.id)
    assert stored == world.store.latest_of(NUMBER.value)
    assert world.store.latest_of(OTHER_NUMBER.value) is None


@pytest.mark.parametrize("unknown", ["", "ver_", "ver_00", "x" * 300, "ver_" + "0" * 64, "ver_" + "é" * 64])
def test_an_unknown_or_malformed_id_is_nothing(world: World, unknown: str) -> None:
    assert world.store.get(unknown) is None


def test_a_number_is_taken_by_one_of_fifty(world: World) -> None:
    records = [opened(world.store.new_id(NUMBER)) for _ in range(50)]

    results = together(50, lambda index: world.store.reserve(records[index], None, NOW))

    winners = [result for result in results if result is not None]
    assert len(winners) == 1
    assert world.store.latest_of(NUMBER.value) == winners[0]


def test_a_reservation_takes_only_the_place_that_was_seen(world: World) -> None:
    first = _kept(world)
    second = opened(world.store.new_id(NUMBER))

    assert world.store.reserve(second, None, NOW) is None
    assert world.store.reserve(second, first, NOW) is not None
    assert world.store.get(first.verification.id) == first


def test_a_release_gives_the_place_back_to_whoever_had_it(world: World) -> None:
    first = _kept(world)
    second = world.store.reserve(opened(world.store.new_id(NUMBER)), first, NOW)
    assert second is not None

    world.store.release(second, first, NOW)

    assert world.store.latest_of(NUMBER.value) == first
    assert world.store.get(second.verification.id) is None


def test_a_change_needs_the_version_that_was_read(world: World) -> None:
    stored = _kept(world)
    canceled = stored.verification.cancel(NOW)

    assert world.store.replace(stored, canceled, NOW) is not None
    assert world.store.replace(stored, canceled, NOW) is None


def test_the_same_change_by_a_hundred_happens_once(world: World) -> None:
    """Equal documents of two writers are still two writes."""
    stored = _kept(world)
    canceled = stored.verification.cancel(NOW)

    results = together(100, lambda _: world.store.replace(stored, canceled, NOW))

    assert len([result for result in results if result is not None]) == 1


def test_a_holding_change_is_refused_once_the_number_is_anothers(world: World) -> None:
    first = _kept(world)
    assert world.store.reserve(opened(world.store.new_id(NUMBER)), first, NOW) is not None

    assert world.store.replace(first, first.verification.cancel(NOW), NOW, holding=True) is None
    assert world.store.replace(first, first.verification.cancel(NOW), NOW) is not None


def test_a_call_is_used_by_one_of_a_hundred(world: World) -> None:
    stored = _kept(world)
    call = call_at(NOW)
    _, verified = stored.verification.judge(call, NOW, seconds(5))

    results = together(100, lambda _: world.store.claim(call, KEEP_UNTIL, (stored, verified), NOW))

    assert Counter({Claim.DONE: 1, Claim.REPEATED: 99}) == Counter(results)
    after = world.store.get(stored.verification.id)
    assert after is not None
    assert after.verification.status is Status.VERIFIED


def test_a_call_that_met_a_change_is_not_used_up(world: World) -> None:
    stored = _kept(world)
    _, verified = stored.verification.judge(call_at(NOW), NOW, seconds(5))
    changed = world.store.replace(stored, stored.verification.cancel(NOW), NOW)

    assert world.store.claim(call_at(NOW), KEEP_UNTIL, (stored, verified), NOW) is Claim.CONFLICT
    assert world.store.get(stored.verification.id) == changed
    assert world.store.claim(call_at(NOW), KEEP_UNTIL, None, NOW) is Claim.DONE


def test_calls_of_other_numbers_and_times_are_other_calls(world: World) -> None:
    calls = [call_at(NOW), call_at(NOW + seconds(1)), call_at(NOW, OTHER_NUMBER)]

    assert [world.store.claim(call, KEEP_UNTIL, None, NOW) for call in calls] == [Claim.DONE] * 3
    assert [world.store.claim(call, KEEP_UNTIL, None, NOW) for call in calls] == [Claim.REPEATED] * 3


def test_a_waiter_is_woken_by_the_change(world: World) -> None:
    stored = _kept(world)
    woken = threading.Event()
    waiter = threading.Thread(target=lambda: world.store.wait_for_change(stored, 30) and woken.set())
    waiter.start()

    world.store.replace(stored, stored.verification.cancel(NOW), NOW)

    assert woken.wait(5)
    waiter.join()


def test_a_wait_ends_without_a_change(world: World) -> None:
    assert world.store.wait_for_change(_kept(world), 0.05)


def test_a_limit_lets_exactly_its_count_through(world: World) -> None:
    spending = [Spending(Scope.NUMBER, NUMBER.value, Limit(5, 600))]

    results = together(50, lambda index: world.limits.spend(spending, f"token{index}", NOW))

    assert len([wait for wait in results if wait is None]) == 5
    assert {600} == {wait for wait in results if wait is not None}


def test_a_limit_slides(world: World) -> None:
    spending = [Spending(Scope.CLIENT, "web", Limit(2, 60))]
    assert world.limits.spend(spending, "a", NOW) is None
    assert world.limits.spend(spending, "b", NOW + seconds(30)) is None

    assert world.limits.spend(spending, "c", NOW + seconds(59)) == 1
    assert world.limits.spend(spending, "c", NOW + seconds(60)) is None
    assert world.limits.spend(spending, "d", NOW + seconds(61)) == 29


def test_what_one_limit_refuses_no_limit_counts(world: World) -> None:
    wide = Spending(Scope.CLIENT, "web", Limit(2, 60))
    narrow = Spending(Scope.NUMBER, NUMBER.value, Limit(1, 60))
    assert world.limits.spend([wide, narrow], "a", NOW) is None
    assert world.limits.spend([wide, narrow], "b", NOW) == 60

    assert world.limits.spend([wide], "c", NOW) is None


def test_what_is_given_back_can_be_spent_again(world: World) -> None:
    spending = [Spending(Scope.GLOBAL, "", Limit(1, 60))]
    assert world.limits.spend(spending, "a", NOW) is None
    world.limits.give_back(spending, "a")

    assert world.limits.spend(spending, "b", NOW) is None


def test_a_key_is_taken_by_one_of_fifty(world: World) -> None:
    results = together(50, lambda _: world.idempotency.begin("web", "POST /", "key", b"body"))

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
