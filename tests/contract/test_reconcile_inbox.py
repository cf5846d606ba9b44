"""Reconciliation with the provider's inbox, over every store."""

from datetime import datetime
from decimal import Decimal

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import SHOWN, FakeProvider, RecordingObserver
from tests.making import (
    NUMBER,
    OTHER_NUMBER,
    POLICY,
    call_at,
    messages_of,
    records_of,
    seconds,
    use_cases,
)
from tests.worlds import World
from waitcall.application.create import CreateCommand
from waitcall.application.expire import ExpireVerifications
from waitcall.application.ports import Claim, Term
from waitcall.application.reconcile_inbox import PAGE, InboxRecord, Progress, ReconcileInbox
from waitcall.domain.channel import Channel
from waitcall.domain.errors import ProviderUnavailable, StoreUnavailable
from waitcall.domain.matching import InboundCall, InboundText, Outcome
from waitcall.domain.numbers import E164, may_be_dialled
from waitcall.domain.policy import Policy, Purpose
from waitcall.domain.status import Status

OFFSET = 3 * 3600
TERM = Term(1, "worker")
OTHER_OF_THE_POOL = E164("+79585555678")


class FakeInbox:
    """Fake inbox of the provider, with records in the order of their ids and dates in Moscow time."""

    def __init__(self) -> None:
        self.records: list[InboxRecord] = []
        self.asked: list[int | None] = []
        self.failing = False

    def rings(self, at: datetime, number: E164 = NUMBER, dialled: str | None = SHOWN.value) -> None:
        wall = (at + seconds(OFFSET)).replace(tzinfo=None, microsecond=0)
        self.records.append(InboxRecord(len(self.records) + 1, number.value, dialled, wall))

    def after(self, record_id: int | None) -> list[InboxRecord]:
        self.asked.append(record_id)
        if self.failing:
            raise ProviderUnavailable
        return [each for each in self.records if each.id > (record_id or 0)][:PAGE]

    def balance(self) -> Decimal:
        return Decimal(1)


class MemoryProgress:
    def __init__(self) -> None:
        self.progress = Progress()
        self.refusing = False

    def load(self) -> Progress:
        return self.progress

    def save(self, term: Term, progress: Progress) -> bool:
        if not self.refusing:
            self.progress = progress
        return not self.refusing


class Net:
    """Use cases and reconciliation over one store, with a fake inbox."""

    def __init__(
        self,
        world: World,
        clock: FakeClock,
        observer: RecordingObserver,
        policy: Policy = POLICY,
        **rules: object,
    ) -> None:
        if rules:
            policy = POLICY.__class__(
                POLICY.dial_regions,
                {"login": Purpose("login", **rules)},
                POLICY.clients,
                text_in_numbers=(OTHER_NUMBER,),
            )
        self.verifications, self.calls = use_cases(world, FakeProvider(), observer, clock, policy)
        self.clock, self.observer, self.world = clock, observer, world
        self.inbox, self.progress = FakeInbox(), MemoryProgress()
        self.reconciliation = ReconcileInbox(
            inbox=self.inbox,
            progress=self.progress,
            deadlines=world.deadlines,
            calls=self.calls,
            messages=messages_of(world, observer, clock),
            clock=clock,
            every=seconds(25),
            may_be_dialled=lambda number: may_be_dialled(number, {"RU"}),
        )

    def start(self, reference: str = "flow", number: E164 = NUMBER, purpose: str = "login") -> str:
        request = CreateCommand(phone_number=number.value, purpose=purpose, reference=reference)
        return self.verifications.start("web", request).verification.id

    def poll(self, after: float = 25) -> int:
        self.clock.advance(after)
        return self.reconciliation.run(TERM)

    def status(self, verification_id: str) -> Status:
        return self.verifications.get("web", verification_id).status


@pytest.fixture
def net(world: World, clock: FakeClock, observer: RecordingObserver) -> Net:
    return Net(world, clock, observer)


def test_a_call_whose_callback_was_lost_verifies_with_the_next_poll(net: Net) -> None:
    net.reconciliation.run(TERM)
    verification = net.start()
    net.clock.advance(10)
    net.inbox.rings(net.clock())
    assert net.status(verification) is Status.PENDING
    assert net.poll(15) == 1
    assert net.status(verification) is Status.VERIFIED
    assert net.observer.counts["reconciled", "confirmed"] == 1
    assert net.observer.counts["verified",] == 1


def test_a_text_whose_callback_was_lost_verifies_with_the_next_poll(world, clock, observer) -> None:
    net = Net(world, clock, observer, channels=(Channel.TEXT_IN,))
    net.reconciliation.run(TERM)
    verification = net.start()
    asked = net.verifications.get("web", verification).text_in
    assert asked is not None
    net.clock.advance(10)
    for number, text in ((OTHER_NUMBER, asked.text), (NUMBER, "hello"), (NUMBER, asked.text.lower())):
        record = InboundText(number.value, asked.number.value, text)
        net.inbox.records.append(InboxRecord(len(net.inbox.records) + 1, None, None, None, record))
    net.poll(15)

    assert net.status(verification) is Status.VERIFIED
    assert net.observer.counts["reconciled", "confirmed"] == 1
    assert net.observer.counts["reconciled", "unmatched"] == 1


def test_a_call_is_used_once_whether_the_callback_or_the_inbox_comes_first(net: Net) -> None:
    net.reconciliation.run(TERM)
    first, second = net.start(), net.start(number=OTHER_NUMBER)
    net.clock.advance(10)
    by_callback, by_inbox = call_at(net.clock()), call_at(net.clock(), OTHER_NUMBER)
    net.calls.record(by_callback)
    # The time in the inbox is two seconds later than that of the callback.
    net.inbox.rings(by_callback.at + seconds(2))
    net.inbox.rings(by_inbox.at, OTHER_NUMBER)
    net.poll(15)
    assert net.calls.record(by_inbox) is Outcome.REPEATED
    assert (net.status(first), net.status(second)) == (Status.VERIFIED, Status.VERIFIED)
    assert net.observer.counts["verified",] == 2
    assert net.observer.counts["reconciled", "repeated"] == 1


@pytest.mark.parametrize(
    ("asked_after", "reference", "placed_off"),
    [(40, "another", 0), (3, "flow", 2)],
    ids=["long after", "seconds after, placed seconds off"],
)
def test_a_used_call_in_the_inbox_never_verifies_a_newer_verification(
    net: Net, asked_after: int, reference: str, placed_off: int
) -> None:
    net.reconciliation.run(TERM)
    first = net.start()
    net.clock.advance(10)
    at = net.clock()
    net.calls.record(call_at(at))
    net.verifications.consume("web", first, "login", "flow")
    net.clock.advance(asked_after)
    second = net.start(reference)
    assert second != first
    net.inbox.rings(at + seconds(placed_off))
    net.poll()
    assert net.status(second) is Status.PENDING


def test_before_the_first_poll_nothing_can_be_placed_so_nothing_is_proved(net: Net) -> None:
    verification = net.start()
    net.inbox.rings(net.clock())
    assert net.poll() == 1
    assert net.status(verification) is Status.PENDING
    assert net.observer.counts["reconciled", "unplaced"] == 1


def test_after_an_outage_of_the_provider_a_zone_once_learned_still_places_calls(net: Net) -> None:
    net.reconciliation.run(TERM)
    first = net.start()
    net.inbox.rings(net.clock())
    net.poll()
    assert net.status(first) is Status.VERIFIED
    net.inbox.failing = True
    for _ in range(100):
        with pytest.raises(ProviderUnavailable):
            net.poll(26)
    second = net.start("another", OTHER_NUMBER)
    net.inbox.rings(net.clock(), OTHER_NUMBER)
    net.inbox.failing = False
    net.poll(26)
    assert net.status(second) is Status.VERIFIED


def test_the_inbox_is_asked_within_the_ceiling_and_only_while_a_call_could_be_missing(net: Net) -> None:
    for _ in range(60):
        net.poll(1)
    assert len(net.inbox.asked) == 3
    for _ in range(40):
        net.poll()
    asked = len(net.inbox.asked)
    # Older verifications may be pending, so the inbox is polled for one window: at 1, 26, 51, then 85, 110, … 885 s.
    assert asked == 3 + 33
    net.start()
    net.poll(25)
    assert len(net.inbox.asked) == asked + 1
    while net.world.deadlines.is_busy():
        net.clock.advance(900)
        ExpireVerifications(records_of(net.world, net.observer), net.world.deadlines, net.clock).run()
    for _ in range(100):
        net.poll()
    asked = len(net.inbox.asked)
    assert net.poll() == 0
    assert len(net.inbox.asked) == asked


def test_a_leader_whose_term_is_over_asks_nothing(net: Net) -> None:
    net.progress.refusing = True
    assert net.poll() == 0
    assert net.inbox.asked == []


def test_more_records_than_a_page_holds_are_all_read(net: Net) -> None:
    net.reconciliation.run(TERM)
    verification = net.start()
    net.inbox.records = [InboxRecord(each + 1, None, None, None) for each in range(PAGE)]
    net.inbox.rings(net.clock())
    assert net.poll() == 1
    assert net.status(verification) is Status.VERIFIED
    assert net.inbox.asked == [None, None, PAGE]
    assert net.progress.progress.after_id == PAGE + 1


def test_a_leader_whose_term_ends_between_two_pages_asks_for_no_more(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    net.reconciliation.run(TERM)
    net.start()
    net.inbox.records = [InboxRecord(each + 1, None, None, None) for each in range(2 * PAGE)]
    kept = iter([True, False])
    monkeypatch.setattr(net.progress, "save", lambda *_: next(kept))
    assert net.poll() == 0
    assert net.inbox.asked == [None, None]


def test_a_record_that_breaks_does_not_hold_up_the_others(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    net.reconciliation.run(TERM)
    verification = net.start()
    net.inbox.rings(net.clock(), OTHER_NUMBER)
    net.inbox.rings(net.clock())
    used = net.calls.reconcile

    def breaking(call: InboundCall) -> Outcome:
        if call.cli == OTHER_NUMBER.value:
            raise ValueError
        return used(call)

    monkeypatch.setattr(net.calls, "reconcile", breaking)
    with pytest.raises(ValueError):
        net.poll()
    assert net.status(verification) is Status.VERIFIED
    assert net.poll() == 0


def test_a_call_that_could_not_be_used_in_an_outage_is_read_again(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    net.reconciliation.run(TERM)
    verification = net.start()
    net.clock.advance(10)
    net.inbox.rings(net.clock())
    claim = net.world.store.claim

    def away(*_: object) -> Claim:
        raise StoreUnavailable

    monkeypatch.setattr(net.world.store, "claim", away)
    with pytest.raises(StoreUnavailable):
        net.poll(15)
    monkeypatch.setattr(net.world.store, "claim", claim)
    net.poll()
    assert net.status(verification) is Status.VERIFIED


@pytest.mark.parametrize(
    ("match_dialled", "dialled", "expected"),
    [
        (True, SHOWN.value, Status.VERIFIED),
        (True, OTHER_OF_THE_POOL.value, Status.PENDING),
        (True, None, Status.PENDING),
        (True, "+1234", Status.PENDING),  # such a number is never shown, so the field means something else
        (False, SHOWN.value, Status.VERIFIED),
        (False, OTHER_OF_THE_POOL.value, Status.PENDING),
        (False, None, Status.PENDING),
    ],
)
def test_a_record_must_name_the_number_shown_whether_or_not_the_purpose_says_so(
    world: World,
    clock: FakeClock,
    observer: RecordingObserver,
    match_dialled: bool,
    dialled: str | None,
    expected: Status,
) -> None:
    net = Net(world, clock, observer, match_dialled=match_dialled)
    net.reconciliation.run(TERM)
    verification = net.start()
    net.inbox.rings(net.clock(), dialled=dialled)
    net.poll()
    assert net.status(verification) is expected
    stored = world.store.get(verification)
    assert stored is not None
    recorded = stored.verification.dialled
    assert recorded == (SHOWN if expected is Status.VERIFIED else None)
