"""Every use case tries again when another process changes a record first, and gives up in the end."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, call_at, operating, use_cases
from tests.unit.application.contended import Contended
from tests.worlds import memory_world
from waitcall.application.create import CreateCommand
from waitcall.application.records import CHANGE_ATTEMPTS
from waitcall.domain.errors import NotFound, ProviderUnavailable, StoreUnavailable
from waitcall.domain.lists import ListAction, ListKind
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

ASK = CreateCommand(NUMBER.value, "login", "flow", locale="ru", metadata={"order": "7"})


class Race:
    def __init__(self, clock: FakeClock) -> None:
        self.world = world = memory_world(Contended)
        self.store = world.store
        self.clock, self.observer, self.provider = clock, RecordingObserver(), FakeProvider()
        self.verifications, self.calls = use_cases(self.world, self.provider, self.observer, clock)
        self.operator = operating(self.world, self.observer, clock)

    def start(self) -> Verification:
        return self.verifications.start("web", ASK).verification

    def rings(self) -> Any:
        return self.calls.record(call_at(self.clock()))


@pytest.fixture
def race(clock: FakeClock) -> Race:
    return Race(clock)


def started(race: Race) -> Verification:
    return race.start()


def verified(race: Race) -> Verification:
    made = race.start()
    race.rings()
    return made


ACTS: dict[str, tuple[str, Callable[[Race], Verification | None], Callable[[Race, Any], Any]]] = {
    "create": ("reserve", lambda _: None, lambda race, _: race.start()),
    "create again": ("confirm", started, lambda race, _: race.start()),
    "call": ("claim", started, lambda race, _: race.rings()),
    "cancel": ("commit", started, lambda race, made: race.verifications.cancel("web", made.id)),
    "read": ("confirm", verified, lambda race, made: race.verifications.get("web", made.id)),
    "consume": (
        "commit",
        verified,
        lambda race, made: race.verifications.consume("web", made.id, "login", "flow"),
    ),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_change_is_tried_again_up_to_the_last_attempt(race: Race, act: str) -> None:
    kind, prepare, do = ACTS[act]
    made = prepare(race)
    race.store.lose(kind, CHANGE_ATTEMPTS - 1)
    assert do(race, made)
    assert race.store.losses == 0


@pytest.mark.parametrize("act", ACTS)
def test_a_race_that_is_always_lost_ends_in_a_refusal_that_says_when_to_ask_again(
    race: Race, act: str
) -> None:
    kind, prepare, do = ACTS[act]
    made = prepare(race)
    race.store.lose(kind, CHANGE_ATTEMPTS)
    with pytest.raises(StoreUnavailable) as refused:
        do(race, made)
    assert refused.value.retry_after == 1
    assert race.store.losses == 0


def test_each_attempt_to_take_a_number_has_an_id_of_its_own(race: Race) -> None:
    race.store.lose("reserve", 2)
    made = race.start()
    assert len(set(race.store.asked)) == 3
    assert race.store.asked[-1] == made.id


def test_a_record_that_is_gone_meanwhile_is_not_found(race: Race) -> None:
    made = race.start()
    stored = race.store.get(made.id)
    assert stored is not None
    race.store.lose("commit", 1, vanishing=True)
    with pytest.raises(NotFound):
        race.operator._records.changed(stored, lambda record: record.cancel(race.clock()), race.clock())


def test_a_record_that_vanishes_while_it_expires_is_returned_as_expired(race: Race) -> None:
    made = race.start()
    stored = race.store.get(made.id)
    assert stored is not None
    race.clock.advance(900)
    race.store.lose("commit", 1, vanishing=True)
    settled = race.operator._records.settled(stored, race.clock())
    assert (settled.verification.status, settled.version) == (Status.EXPIRED, stored.version)
    assert race.observer.counts["finished", "expired", "no_call"] == 0


def test_a_number_is_blocked_although_its_record_vanishes_meanwhile(race: Race) -> None:
    race.start()
    race.store.lose("commit", 1, vanishing=True)
    race.operator.put(
        "ann", action=ListAction.BLOCK, kind=ListKind.NUMBER, subject=NUMBER.value, reason="x", expires_in=60
    )
    assert len(race.operator.lists("ann")) == 1


def test_an_order_is_not_kept_if_its_verification_ended_meanwhile(race: Race) -> None:
    def overtaken() -> None:
        (stored,) = race.store._records.values()
        race.operator._records.changed(
            stored, lambda record: record.fail(Reason.PROVIDER_ERROR, race.clock()), race.clock()
        )

    race.provider.during = overtaken
    with pytest.raises(ProviderUnavailable) as refused:
        race.start()
    assert refused.value.retry_after == 1
    (stored,) = race.store._records.values()
    assert refused.value.verification_id == stored.verification.id
    assert stored.verification.call_number is None


def test_a_record_keeps_what_the_client_gave_it(race: Race) -> None:
    made = race.start()
    assert (made.locale, made.metadata, made.window_seconds) == ("ru", {"order": "7"}, 900)
    assert race.verifications.get("web", made.id) == made
