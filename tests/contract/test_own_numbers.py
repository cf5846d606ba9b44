"""Numbers of our own, over every store: which number is shown, which call counts, and how often a forger may guess."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import SHOWN, FakeProvider, FakeSender, RecordingObserver
from tests.making import (
    SEALS,
    Verifications,
    admission,
    opening_of,
    operating,
    records_of,
    seconds,
    together,
    use_cases,
)
from tests.worlds import World
from waitcall.application.create import CreateCommand
from waitcall.application.fallback import ChannelSteps
from waitcall.application.open_channel import Routing
from waitcall.application.operate import Subject
from waitcall.application.own_numbers import OwnNumberProvider, RecordOwnCall
from waitcall.application.record_call import RecordInboundCall
from waitcall.domain.channel import Assurance, Attestation, Channel, Dialect, Provider
from waitcall.domain.errors import PhoneNumberNotAllowed, ProviderError, ProviderUnavailable
from waitcall.domain.limits import Limit, Scope
from waitcall.domain.matching import InboundCall, Outcome, Witness
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Client, OwnNumbers, Policy, Purpose, Routes
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

NUMBER = E164("+12125550123")
POOL = [E164(f"+12025550{100 + index}") for index in range(20)]
RUSSIAN = E164("+74951234567")
OUTSIDE = "+12025550199"
TAIL = "@a-host-that-ends-every-call-id.carrier.example.net"
PURPOSES = {
    "login": Purpose("login", cooldown_seconds=0, channels=(Channel.CALL, Channel.CODE)),
    "reset": Purpose(
        "reset",
        min_assurance=Assurance.NETWORK,
        cooldown_seconds=0,
        channels=(Channel.CALL, Channel.CODE),
    ),
}
POLICY = Policy(
    dial_regions=frozenset({"US", "RU"}),
    purposes=PURPOSES,
    clients={"web": Client("web", frozenset(PURPOSES))},
    limits={Scope.WRONG_NUMBERS: (Limit(3, 86400),)},
    routing=Routes((Provider.OWN, Provider.SMSC)),
    own_numbers=OwnNumbers(dict.fromkeys(POOL, Dialect.TWILIO) | {RUSSIAN: Dialect.SIP}),
    code_texts={"en": "{code} is your code."},
)


@dataclass
class Stage:
    world: World
    observer: RecordingObserver
    clock: FakeClock
    policy: Policy = POLICY

    def __post_init__(self) -> None:
        self.smsc = FakeProvider()
        routes = self.policy.routing
        regions = self.policy.dial_regions
        self.own = OwnNumberProvider(self.policy.own_numbers, self.world.numbers, regions, self.clock)
        routing = Routing([self.own, self.smsc], routes.default, routes.regions, self.observer)
        made: tuple[Verifications, RecordInboundCall] = use_cases(
            self.world, routing, self.observer, self.clock, self.policy
        )
        self.verifications, self.smsc_calls = made
        self.calls = RecordOwnCall(self.policy.own_numbers, self.smsc_calls, self.observer)
        self.steps = ChannelSteps(
            records=records_of(self.world, self.observer, self.policy),
            admission=admission(self.world, self.observer, self.policy),
            opening=opening_of(routing, FakeSender(), self.policy),
            seals=SEALS,
            clock=self.clock,
            policy=self.policy,
        )

    def start(self, number: E164 = NUMBER, purpose: str = "login") -> Verification:
        return self.verifications.start("web", CreateCommand(number.value, purpose)).verification

    def read(self, record: Verification) -> Verification:
        return self.verifications.get("web", record.id)

    def cancel(self, record: Verification) -> None:
        self.verifications.cancel("web", record.id)

    def call(
        self,
        record: Verification,
        to: str | None = None,
        dialect: Dialect = Dialect.TWILIO,
        **more: object,
    ) -> Outcome:
        """Report a call of the right phone; ``more`` are fields of the call."""
        number = to or (record.call_number.value if record.call_number else "")
        call = InboundCall(record.phone_number.value, self.clock(), number, provider=Provider.OWN, id="CA1")
        return self.calls.record(replace(call, **more), dialect)


@pytest.fixture
def stage(world: World, observer: RecordingObserver, clock: FakeClock) -> Stage:
    return Stage(world, observer, clock)


def wrong_number(record: Verification) -> str:
    return next(each.value for each in POOL if each != record.call_number)


def test_a_call_to_the_number_shown_verifies(stage: Stage) -> None:
    record = stage.start()

    assert (record.call_number in POOL, record.provider, stage.smsc.orders) == (True, Provider.OWN, [])
    assert stage.call(record) is Outcome.CONFIRMED
    read = stage.read(record)
    assert (read.status, read.dialled, read.assurance) == (
        Status.VERIFIED,
        record.call_number,
        Assurance.ASSERTED,
    )


def test_the_numbers_country_is_the_subscribers_if_the_pool_has_one(stage: Stage) -> None:
    assert {stage.start(E164(f"+121255501{each}")).region for each in range(10, 20)} == {"US"}
    assert stage.start(E164("+79991234567")).call_number == RUSSIAN
    assert stage.start(E164("+33199001234")).call_number in {*POOL, RUSSIAN}


def test_the_subscriber_is_not_shown_a_number_again_before_the_cooldown_ends(stage: Stage) -> None:
    shown = Counter()
    for _ in (*POOL, RUSSIAN):
        record = stage.start()
        shown[record.call_number] += 1
        stage.cancel(record)
    assert shown == Counter((*POOL, RUSSIAN))

    other = stage.start()
    assert (other.call_number, other.provider) == (SHOWN, Provider.SMSC), "the next provider of the route"
    stage.cancel(other)
    stage.clock.advance(POLICY.own_numbers.cooldown_seconds)
    assert stage.start().call_number in POOL


def test_an_exhausted_pool_without_another_provider_is_unavailable_until_a_number_is_free(
    world: World, observer: RecordingObserver, clock: FakeClock
) -> None:
    alone = replace(
        POLICY,
        routing=Routes((Provider.OWN,)),
        own_numbers=OwnNumbers({POOL[0]: Dialect.TWILIO}, cooldown_seconds=1000),
    )
    stage = Stage(world, observer, clock, alone)
    stage.cancel(stage.start())
    clock.advance(400)

    with pytest.raises(ProviderUnavailable) as refused:
        stage.start()

    assert refused.value.retry_after == 600
    assert observer.counts["ordered", "own", "False"] == 1
    told = operating(world, observer, clock, alone).explain("ops", Subject(NUMBER.value))
    assert [(each.code, each.retry_after) for each in told.refusals] == [("provider_unavailable", 600)]
    assert told.verification is not None
    assert told.verification.number_provider is None, "no provider gave the failed one a number"


@pytest.mark.parametrize(
    ("purpose", "refused"), [("login", []), ("reset", ["provider_unavailable"]), (None, [])]
)
def test_an_explanation_knows_whether_another_provider_may_serve(
    stage: Stage, purpose: str | None, refused: list[str]
) -> None:
    for _ in (*POOL, RUSSIAN):
        stage.cancel(stage.start())

    told = operating(stage.world, stage.observer, stage.clock, stage.policy).explain(
        "ops", Subject(NUMBER.value), purpose
    )

    assert [each.code for each in told.refusals] == refused


def test_a_hundred_verifications_at_once_are_shown_numbers_of_the_pool(stage: Stage) -> None:
    numbers = [E164(f"+1212556{1000 + index}") for index in range(100)]
    made = together(100, lambda index: stage.start(numbers[index]))

    pairs = [(each.phone_number, each.call_number) for each in made if isinstance(each, Verification)]
    assert len(set(pairs)) == 100
    assert {number for _, number in pairs} <= set(POOL)


def test_a_create_that_fails_uses_no_number_up(stage: Stage) -> None:
    for _ in range(2 * len(POOL)):
        assert stage.own.order(NUMBER).call_number in POOL
    assert stage.world.numbers.shown(NUMBER, stage.clock()) == {}


def test_numbers_of_other_countries_follow_when_those_of_the_subscribers_are_used_up(
    world: World, observer: RecordingObserver, clock: FakeClock
) -> None:
    own = OwnNumbers({POOL[0]: Dialect.TWILIO, RUSSIAN: Dialect.SIP})
    stage = Stage(world, observer, clock, replace(POLICY, own_numbers=own))

    first = stage.start()
    stage.cancel(first)
    assert (first.call_number, stage.start().call_number) == (POOL[0], RUSSIAN)


def test_a_number_of_the_pool_is_never_asked_to_call_itself(stage: Stage) -> None:
    assert {stage.own.order(POOL[0]).call_number for _ in range(400)} == set(POOL[1:])

    alone = OwnNumbers({POOL[0]: Dialect.TWILIO})
    with pytest.raises(ProviderError):
        OwnNumberProvider(alone, stage.world.numbers, {"US"}, stage.clock).order(POOL[0])


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (lambda record: {"cli": "+12125550124"}, Outcome.UNMATCHED),
        (lambda record: {"dialled": wrong_number(record)}, Outcome.WRONG_NUMBER),
        (lambda record: {"dialled": OUTSIDE}, Outcome.UNMATCHED),
        (lambda record: {"dialled": None}, Outcome.UNMATCHED),
        (lambda record: {"cli": POOL[0].value}, Outcome.UNMATCHED),
        (lambda record: {"at": record.created_at - timedelta(seconds=6)}, Outcome.EARLY),
        (lambda record: {"at": record.created_at + timedelta(seconds=6)}, Outcome.EARLY),
    ],
)
def test_a_call_that_differs_in_anything_proves_nothing(
    stage: Stage, change: Callable[[Verification], dict[str, object]], outcome: Outcome
) -> None:
    record = stage.start()

    assert stage.call(record, **change(record)) is outcome
    assert stage.read(record) == record


def test_other_spellings_of_a_number_of_the_pool_are_the_same_number(
    world: World, observer: RecordingObserver, clock: FakeClock
) -> None:
    """Argentine mobile numbers are also reported without the 9."""
    mobile, spelling = E164("+5491123456789"), "+541123456789"
    own = OwnNumbers({mobile: Dialect.TWILIO, POOL[0]: Dialect.TWILIO})
    stage = Stage(
        world, observer, clock, replace(POLICY, dial_regions=frozenset({"AR", "US"}), own_numbers=own)
    )

    record = stage.start(mobile)
    assert stage.call(record, cli=spelling) is Outcome.UNMATCHED
    stage.cancel(record)
    record = stage.start(E164("+5491123456788"))
    assert record.call_number == mobile
    assert stage.call(record, to=spelling) is Outcome.CONFIRMED


def test_a_call_that_another_dialect_reports_proves_nothing(stage: Stage) -> None:
    record = stage.start()

    assert stage.call(record, dialect=Dialect.SIP) is Outcome.UNMATCHED
    assert stage.read(record) == record


def test_the_callback_of_another_provider_never_confirms(stage: Stage) -> None:
    record = stage.start()
    told = InboundCall(NUMBER.value, stage.clock(), record.call_number.value if record.call_number else None)

    assert stage.smsc_calls.record(told) is Outcome.UNMATCHED
    stage.clock.advance(20)
    found = replace(told, at=stage.clock(), witness=Witness.INBOX)
    assert stage.smsc_calls.reconcile(found) is Outcome.UNMATCHED
    assert stage.read(record) == record


def test_our_own_call_never_confirms_what_another_provider_ordered(
    world: World, observer: RecordingObserver, clock: FakeClock
) -> None:
    smsc = Stage(world, observer, clock, replace(POLICY, routing=Routes((Provider.SMSC,))))
    record = smsc.start()

    assert smsc.call(record, POOL[0].value) is Outcome.UNMATCHED
    assert smsc.read(record) == record


def test_a_call_is_used_once_by_its_id(stage: Stage) -> None:
    record = stage.start()
    assert stage.call(record) is Outcome.CONFIRMED
    assert stage.call(record, at=stage.clock() + seconds(3)) is Outcome.REPEATED


@pytest.mark.parametrize("weak", [Attestation.NONE, Attestation.PARTIAL, None])
def test_a_stronger_report_of_the_same_call_still_counts_once(stage: Stage, weak: Attestation | None) -> None:
    """A carrier may report the end of a call before its beginning, and only the beginning with the attestation."""
    record = stage.start(purpose="reset")
    report = partial(stage.call, record, is_dated=False)

    assert report(attestation=weak) is Outcome.WEAK
    assert report(attestation=Attestation.GATEWAY) is Outcome.REPEATED
    assert stage.read(record) == record.note_weak_call(stage.clock(), weak)
    assert report(attestation=Attestation.FULL, cli="+12125550124") is Outcome.UNMATCHED
    assert report(wrong_number(record), attestation=Attestation.FULL) is Outcome.WRONG_NUMBER
    assert report(attestation=Attestation.FULL) is Outcome.CONFIRMED
    verified = stage.read(record)
    assert (verified.status, verified.assurance) == (Status.VERIFIED, Assurance.NETWORK)
    assert report(attestation=Attestation.FULL) is Outcome.REPEATED
    assert report(attestation=weak) is Outcome.REPEATED
    assert stage.read(record) == verified


def test_a_stronger_report_never_counts_for_a_later_verification(
    world: World, observer: RecordingObserver, clock: FakeClock
) -> None:
    """The pool has one number, so the later verification shows the number of the call that was reported."""
    stage = Stage(world, observer, clock, replace(POLICY, own_numbers=OwnNumbers({POOL[0]: Dialect.TWILIO})))
    first = stage.start(purpose="reset")
    assert stage.call(first, is_dated=False) is Outcome.WEAK
    stage.cancel(first)
    clock.advance(POLICY.own_numbers.cooldown_seconds)
    later = stage.start(purpose="reset")

    assert stage.call(later, is_dated=False, attestation=Attestation.FULL) is Outcome.REPEATED
    assert stage.read(later) == later


def test_several_reports_of_one_call_are_one_wrong_number_at_most(stage: Stage) -> None:
    record = stage.start()
    for _ in range(5):
        for strength in (Attestation.FULL, Attestation.NONE, Attestation.FULL):
            stage.call(record, wrong_number(record), id="CA1", attestation=strength)
    for call_id in ("CA2", "CA3", "CA4"):
        assert stage.call(record, wrong_number(record), id=call_id) is Outcome.WRONG_NUMBER

    assert stage.call(record, id="CA5") is Outcome.WEAK, "three calls without attestation used the budget up"
    assert stage.call(record, id="CA5", attestation=Attestation.FULL) is Outcome.CONFIRMED


@pytest.mark.parametrize("is_dated", [True, False])
def test_a_captured_report_never_verifies_a_later_verification(
    world: World, observer: RecordingObserver, clock: FakeClock, is_dated: bool
) -> None:
    """The pool has one number, so each later verification shows the number of the captured report."""
    stage = Stage(world, observer, clock, replace(POLICY, own_numbers=OwnNumbers({POOL[0]: Dialect.TWILIO})))
    began = clock()
    assert stage.call(stage.start(), id="CA7", is_dated=is_dated) is Outcome.CONFIRMED
    for _ in range(29):
        clock.advance(86400)
        later = stage.start()
        # The undated report is sent again as if the call were new; a signature keeps the time of a dated one.
        at = began if is_dated else clock()
        assert stage.call(later, id="CA7", is_dated=is_dated, at=at) is not Outcome.CONFIRMED
        assert stage.read(later).status is Status.PENDING
        stage.cancel(later)


def test_a_late_report_of_a_call_to_an_earlier_number_is_no_wrong_number(stage: Stage) -> None:
    first = stage.start()
    called = stage.clock()
    stage.cancel(first)
    stage.clock.advance(60)
    second = stage.start()
    number = first.call_number.value if first.call_number else ""

    late = [stage.call(second, number, id=f"CA{each}", at=called) for each in range(4)]

    assert late == [Outcome.EARLY] * 4
    assert stage.call(second, id="CA9") is Outcome.CONFIRMED


def test_only_a_few_wrong_numbers_may_be_tried_each_day(stage: Stage) -> None:
    record = stage.start()
    for attempt in range(3):
        assert stage.call(record, wrong_number(record), id=f"{attempt}{TAIL}") is Outcome.WRONG_NUMBER

    assert stage.call(record, id=f"3{TAIL}") is Outcome.WEAK
    assert stage.read(record) == record.note_weak_call(stage.clock()), (
        "the forger does not end the verification"
    )
    assert stage.call(record, id="CA4", attestation=Attestation.FULL) is Outcome.CONFIRMED
    assert stage.read(record).assurance is Assurance.NETWORK


def test_a_forger_who_tries_every_number_at_once_is_right_at_most_at_the_computed_rate(stage: Stage) -> None:
    """Three calls find the right one of 20 numbers at 3 in 20. More than 33 of 100 are five deviations above that, and without the
    limit all 100 would be found. None of 100 happens once in ten million runs."""
    confirmed = 0
    for index in range(100):
        record = stage.start(E164(f"+1212556{2000 + index}"))
        tried = together(20, lambda each, record=record: stage.call(record, POOL[each].value, id=f"CA{TAIL}"))
        counts = Counter(tried)
        assert counts[Outcome.CONFIRMED] + counts[Outcome.WEAK] <= 1
        confirmed += counts[Outcome.CONFIRMED]
    assert 1 <= confirmed <= 33


def test_a_right_call_costs_nothing_of_the_budget(stage: Stage) -> None:
    for index in range(5):
        assert stage.call(stage.start(), id=f"CA{index}") is Outcome.CONFIRMED


@pytest.mark.parametrize(
    ("evidence", "assurance"),
    [
        ({"attestation": Attestation.FULL}, Assurance.NETWORK),
        ({"attestation": Attestation.FULL, "diverted": True}, Assurance.ASSERTED),
        ({"attestation": Attestation.PARTIAL}, Assurance.ASSERTED),
        ({"attestation": Attestation.GATEWAY}, Assurance.ASSERTED),
        ({"attestation": Attestation.NONE}, Assurance.ASSERTED),
        ({}, Assurance.ASSERTED),
    ],
)
def test_the_assurance_is_that_of_the_call(
    stage: Stage, evidence: dict[str, object], assurance: Assurance
) -> None:
    record = stage.start()
    assert record.assurance is Assurance.ASSERTED

    assert stage.call(record, **evidence) is Outcome.CONFIRMED
    read = stage.read(record)
    assert (read.assurance, read.attestation) == (assurance, evidence.get("attestation"))


def test_a_call_that_proves_too_little_leaves_the_verification_pending_and_another_way_open(
    stage: Stage,
) -> None:
    record = stage.start(purpose="reset")

    assert stage.call(record, attestation=Attestation.PARTIAL) is Outcome.WEAK
    called = stage.clock().replace(microsecond=0)
    read = stage.read(record)
    assert (read.status, read.next_channel, read.weak_call_at) == (Status.PENDING, Channel.CODE, called)
    stage.clock.advance(10)
    assert stage.call(record, id="CA2", attestation=Attestation.GATEWAY) is Outcome.WEAK
    noted = stage.read(record)
    assert (noted.weak_call_at, noted.attestation) == (called, Attestation.PARTIAL), "the first one counts"
    assert stage.call(record, id="CA3", attestation=Attestation.FULL) is Outcome.CONFIRMED
    assert stage.read(record).assurance is Assurance.NETWORK


def test_a_waiting_read_ends_at_a_weak_call(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    record = stage.start(purpose="reset")
    waited: list[float] = []

    def wait(_: object, seconds: float) -> bool:
        waited.append(seconds)
        stage.call(record, attestation=Attestation.PARTIAL)
        return len(waited) == 1

    monkeypatch.setattr(stage.world.changes, "wait_for_change", wait)

    read = stage.verifications.get("web", record.id, 25)

    assert (read.status, len(waited)) == (Status.PENDING, 1)
    assert read.weak_call_at is not None


def test_the_end_after_a_weak_call_does_not_say_that_no_call_came(stage: Stage) -> None:
    record = stage.start(purpose="reset")
    stage.call(record, attestation=Attestation.PARTIAL)
    stage.clock.advance(901)

    read = stage.read(record)

    assert (read.status, read.reason) == (Status.EXPIRED, Reason.WEAK_CALL)
    assert stage.observer.counts["finished", "expired", "weak_call"] == 1


def test_on_the_next_channel_the_weak_call_is_forgotten(stage: Stage) -> None:
    record = stage.start(purpose="reset")
    stage.call(record, attestation=Attestation.PARTIAL)

    stage.steps.fall_back("web", record.id, Channel.CODE)

    read = stage.read(record)
    assert (read.weak_call_at, read.attestation) == (None, None)


@pytest.mark.parametrize(
    ("call", "counted"),
    [
        ({"attestation": Attestation.FULL}, ("twilio", "A", "confirmed")),
        ({}, ("twilio", "none", "confirmed")),
        ({"dialled": OUTSIDE, "attestation": Attestation.GATEWAY}, ("twilio", "C", "unmatched")),
    ],
)
def test_each_call_is_counted_by_dialect_attestation_and_outcome(
    stage: Stage, call: dict[str, object], counted: tuple[str, str, str]
) -> None:
    stage.call(stage.start(), **call)
    assert stage.observer.counts["own_call", *counted] == 1


def test_a_provider_without_attestation_is_not_asked_where_the_purpose_demands_it(stage: Stage) -> None:
    for _ in (*POOL, RUSSIAN):
        stage.cancel(stage.start(purpose="reset"))

    with pytest.raises(ProviderUnavailable):
        stage.start(purpose="reset")
    assert stage.smsc.orders == []


def test_a_purpose_that_demands_more_is_refused_where_only_other_providers_serve(
    world: World, observer: RecordingObserver, clock: FakeClock
) -> None:
    policy = replace(POLICY, routing=Routes((Provider.OWN,), {"RU": (Provider.SMSC,)}))
    stage = Stage(world, observer, clock, policy)

    with pytest.raises(PhoneNumberNotAllowed):
        stage.start(E164("+79991234567"), purpose="reset")


def test_after_a_fallback_a_call_to_the_number_proves_nothing(stage: Stage) -> None:
    record = stage.start()
    shown = record.call_number
    stage.steps.fall_back("web", record.id, Channel.CODE)

    assert stage.call(record, shown.value if shown else "") is Outcome.UNMATCHED
    assert stage.read(record).status is Status.PENDING


def test_the_pool_tells_which_numbers_a_subscriber_was_shown(stage: Stage) -> None:
    record = stage.start()
    until = stage.clock() + seconds(POLICY.own_numbers.cooldown_seconds)

    shown = stage.world.numbers.shown(NUMBER, stage.clock())

    assert shown == {record.call_number: until.replace(microsecond=until.microsecond // 1000 * 1000)}
    assert stage.world.numbers.shown(E164("+12125550124"), stage.clock()) == {}
    assert stage.world.numbers.shown(NUMBER, until) == {}
