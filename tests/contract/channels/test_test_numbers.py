"""Test numbers: the policy fixes their outcome. Nothing is ordered or sent for them, and no report changes them."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.contract.channels.conftest import CALL, CODE, POLICY, TEXT_IN, Stage
from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, FakeSender, RecordingObserver
from tests.making import NUMBER, OTHER_NUMBER, call_at, operating, records_of, seconds
from tests.worlds import World
from waitcall.application.create import CreateCommand, Risk
from waitcall.application.expire import ExpireVerifications
from waitcall.application.operate import Subject
from waitcall.domain.code import CodeDelivery, DeliveryReport
from waitcall.domain.conversion import ConversionBudget, Group
from waitcall.domain.errors import (
    CodeMismatch,
    Contested,
    Expired,
    NotVerified,
    PhoneNumberNotAllowed,
    RateLimited,
    VerificationInProgress,
)
from waitcall.domain.limits import Limit, Mode, Scope
from waitcall.domain.matching import InboundText, Outcome
from waitcall.domain.numbers import E164
from waitcall.domain.policy import CaptchaRule, FixedOutcome, Policy
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

VERIFIED, EXPIRED, CONTESTED, FAILED = (
    E164(f"+1202555010{digit}") for digit in range(1, 5)
)  # fictitious numbers
OUTCOMES = {
    VERIFIED: FixedOutcome(Status.VERIFIED, 5, code="000123"),
    EXPIRED: FixedOutcome(Status.EXPIRED, 5),
    CONTESTED: FixedOutcome(Status.CONTESTED, 5),
    FAILED: FixedOutcome(Status.FAILED, 5),
}
TAKING = replace(
    POLICY,
    purposes={name: replace(each, test_numbers=name != "every") for name, each in POLICY.purposes.items()},
    test_numbers=OUTCOMES,
)
Acting = Callable[[Policy], Stage]


@pytest.fixture
def acting(world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock) -> Acting:
    return lambda policy: Stage(world, provider, FakeSender(), observer, clock, policy)


@pytest.fixture
def tested(acting: Acting) -> Stage:
    return acting(TAKING)


def start(
    stage: Stage, number: E164 = VERIFIED, purpose: str = "strict", reference: str = "flow", **more: object
) -> Verification:
    ask = CreateCommand(number.value, purpose, reference, **more)
    return stage.verifications.start("web", ask).verification


def consume(stage: Stage, record: Verification) -> Verification:
    return stage.verifications.consume("web", record.id, record.requester.purpose, "flow")


@pytest.mark.parametrize(
    ("number", "status", "reason"),
    [
        (VERIFIED, Status.VERIFIED, Reason.CALL_MATCHED),
        (EXPIRED, Status.EXPIRED, Reason.NO_CALL),
        (CONTESTED, Status.CONTESTED, Reason.CONCURRENT_REQUEST),
        (FAILED, Status.FAILED, Reason.PROVIDER_ERROR),
    ],
)
def test_the_outcome_comes_after_its_delay(
    tested: Stage, number: E164, status: Status, reason: Reason
) -> None:
    made = start(tested, number)
    assert (made.status, made.test is not None) == (Status.PENDING, True)

    tested.clock.advance(4)
    assert tested.now(made).status is Status.PENDING
    tested.clock.advance(1)
    assert (tested.now(made).status, tested.now(made).reason) == (status, reason)

    assert (tested.provider.orders, tested.sender.sent) == ([], [])
    if status is Status.VERIFIED:
        assert consume(tested, made).status is Status.CONSUMED
    else:
        with pytest.raises((NotVerified, Expired, Contested)):
            consume(tested, made)


def test_a_verified_result_lapses_like_any_other(tested: Stage) -> None:
    made = start(tested)
    tested.clock.advance(5 + 300)
    assert tested.now(made).status is Status.LAPSED
    with pytest.raises(Expired):
        consume(tested, made)


def test_a_purpose_that_does_not_say_so_takes_no_test_number(tested: Stage) -> None:
    for number in OUTCOMES:
        with pytest.raises(PhoneNumberNotAllowed, match="test number"):
            start(tested, number, "every")
    assert tested.provider.orders == []


def test_a_number_that_the_policy_does_not_name_is_real_for_every_purpose(tested: Stage) -> None:
    real = tested.start("strict")
    tested.clock.advance(60)
    assert (tested.now(real).status, real.test) == (Status.PENDING, None)
    assert tested.provider.orders == [NUMBER]


def test_the_number_to_dial_is_the_test_number_itself(tested: Stage) -> None:
    """A person who follows the page calls nobody."""
    assert start(tested).call_number == VERIFIED
    text = start(tested, CONTESTED, channel=TEXT_IN).text_in
    assert text is not None
    assert text.number == CONTESTED


def test_a_long_poll_ends_with_the_outcome(tested: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    made = start(tested)
    waits: list[float] = []
    changes = tested.verifications.reading._changes

    def wait_for_change(stored: object, wait: float) -> bool:
        waits.append(wait)
        tested.clock.advance(wait)
        return True

    monkeypatch.setattr(changes, "wait_for_change", wait_for_change)
    assert tested.verifications.get("web", made.id, 30).status is Status.VERIFIED
    assert len(waits) == 1
    assert 4 <= waits[0] <= 5


def test_the_sweep_announces_the_outcome_soon(tested: Stage) -> None:
    start(tested)
    records = records_of(tested.world, tested.observer, tested.policy)
    sweep = ExpireVerifications(records, tested.world.deadlines, tested.clock)
    tested.clock.advance(4)
    sweep.run()
    assert tested.observer.counts[("verified",)] == 0
    tested.clock.advance(1)
    sweep.run()
    assert tested.observer.counts[("verified",)] == 1
    assert tested.audited()["verified"] == 1


def test_only_the_fixed_code_verifies_on_the_channel_code(tested: Stage) -> None:
    made = start(tested, purpose="code")
    tested.clock.advance(60)
    assert tested.now(made).status is Status.PENDING
    with pytest.raises(CodeMismatch):
        tested.check(made, "000124")
    assert tested.check(made, "000123").reason is Reason.CODE_MATCHED
    assert tested.sender.sent == []
    assert (tested.audited()["code_sent"], tested.audited()["test_code"]) == (0, 1)


def test_with_another_outcome_no_code_is_right(tested: Stage) -> None:
    made = start(tested, FAILED, "code")
    with pytest.raises(CodeMismatch):
        tested.check(made, "000123")
    tested.clock.advance(5)
    assert tested.now(made).status is Status.FAILED


def test_the_second_step_takes_the_fixed_code(tested: Stage) -> None:
    made = start(tested, purpose="two_steps")
    tested.clock.advance(5)
    assert (tested.now(made).status, tested.now(made).channel) == (Status.PENDING, CODE)
    tested.channels.resend("web", made.id)
    tested.clock.advance(60)
    assert tested.now(made).status is Status.PENDING
    assert tested.check(made, "000123").status is Status.VERIFIED
    assert tested.sender.sent == []


def test_a_fallback_restarts_the_delay_and_orders_nothing(tested: Stage) -> None:
    made = start(tested)
    tested.clock.advance(3)
    tested.channels.fall_back("web", made.id, TEXT_IN)
    tested.clock.advance(4)
    assert tested.now(made).status is Status.PENDING
    tested.clock.advance(1)
    assert tested.now(made).reason is Reason.TEXT_MATCHED
    other = start(tested, CONTESTED, "code_then_call")
    moved = tested.channels.fall_back("web", other.id, CALL)
    assert (moved.call_number, tested.provider.orders, tested.sender.sent) == (CONTESTED, [], [])


def test_no_report_of_a_provider_changes_a_test_number(tested: Stage) -> None:
    """A real call, text or delivery report proves nothing about it."""
    made = start(tested)
    assert tested.calls.record(call_at(tested.clock(), VERIFIED)) is Outcome.UNMATCHED
    assert tested.now(made).status is Status.PENDING
    texted = start(tested, CONTESTED, channel=TEXT_IN)
    assert texted.text_in is not None
    message = InboundText(CONTESTED.value, texted.text_in.number.value, texted.text_in.text)
    assert tested.messages.record_text(message) is Outcome.UNMATCHED
    coded = start(tested, FAILED, "code")
    assert coded.code is not None
    report = DeliveryReport(coded.code.message_id, FAILED.value, CodeDelivery.DELIVERED)
    tested.messages.record_report(report)
    assert tested.now(coded).code == coded.code


def test_test_numbers_use_up_no_limit_of_real_ones(acting: Acting) -> None:
    one = (Limit(1, 3600),)
    spared = (Scope.NUMBER, Scope.NUMBER_TOTAL, Scope.IP, Scope.NETWORK, Scope.COUNTRY, Scope.GLOBAL)
    codes = (Scope.CODE_NUMBER, Scope.CODE_GLOBAL)
    stage = acting(replace(TAKING, limits=dict.fromkeys((*spared, *codes), one)))
    for attempt in range(3):
        for purpose in ("strict", "code"):
            made = start(stage, purpose=purpose, reference=f"flow-{attempt}", client_ip="203.0.113.5")
            stage.verifications.cancel("web", made.id)
    ask = CreateCommand("+12025550199", "every", "flow", client_ip="203.0.113.5")
    assert stage.verifications.start("web", ask).created


def test_the_limit_of_the_client_counts_test_numbers_too(acting: Acting) -> None:
    stage = acting(replace(TAKING, limits={Scope.CLIENT: (Limit(1, 3600),)}))
    start(stage)
    with pytest.raises(RateLimited):
        start(stage, CONTESTED)


def test_test_numbers_do_not_move_the_conversion_guard(acting: Acting, world: World) -> None:
    budget = ConversionBudget(Group.COUNTRY, Mode.ENFORCE, settle_seconds=0, floor=0, max_uncalled_share=0.1)
    stage = acting(replace(TAKING, conversion=(budget,)))
    for number in OUTCOMES:
        start(stage, number)
    assert world.conversions.buckets(budget, "US") == []


def test_no_captcha_of_the_provider_is_asked_for(acting: Acting) -> None:
    rule = CaptchaRule((Limit(1, 3600, Mode.RECORD_ONLY),), "https://captcha.example/picture")
    stage = acting(replace(TAKING, captcha=rule))
    assert start(stage, purpose="code", risk=Risk.HIGH).status is Status.PENDING


def test_a_test_number_is_held_by_one_requester_like_any_other(tested: Stage) -> None:
    start(tested)
    with pytest.raises(VerificationInProgress):
        start(tested, reference="another")


def test_a_real_verification_stays_real_when_its_number_becomes_a_test_number(
    acting: Acting, tested: Stage
) -> None:
    real = tested.start("strict")
    named = replace(TAKING, test_numbers=OUTCOMES | {NUMBER: FixedOutcome(Status.VERIFIED, 0)})
    later = acting(named)
    later.clock.advance(10)
    assert later.now(real).status is Status.PENDING
    assert later.calls.record(call_at(later.clock())) is Outcome.CONFIRMED


def test_a_test_verification_stays_one_when_the_policy_forgets_its_number(
    acting: Acting, tested: Stage
) -> None:
    made = start(tested)
    later = acting(replace(TAKING, test_numbers={}))
    assert later.calls.record(call_at(later.clock(), VERIFIED)) is Outcome.UNMATCHED
    later.clock.advance(5)
    assert later.now(made).test == FixedOutcome(Status.VERIFIED, 5) or later.world.name == "memory"
    assert later.now(made).status is Status.VERIFIED


def test_explain_predicts_what_a_create_does(tested: Stage) -> None:
    operator = operating(tested.world, tested.observer, tested.clock, tested.policy)
    refused = operator.explain("ops", Subject(VERIFIED.value), "every").refusals
    assert [each.code for each in refused] == ["phone_number_not_allowed"]
    assert operator.explain("ops", Subject(VERIFIED.value), "strict").refusals == ()
    # The purpose demands more assurance than a call from this real number of the same country gives.
    real = operator.explain("ops", Subject("+12025550199"), "strict").refusals
    assert [each.code for each in real] == ["phone_number_not_allowed"]


def test_every_entry_of_the_audit_stream_says_test(tested: Stage, world: World) -> None:
    made = start(tested)
    tested.clock.advance(5)
    tested.now(made)
    consume(tested, made)
    start(tested, OTHER_NUMBER)
    first, last = tested.clock() - seconds(10**8), tested.clock() + seconds(10**8)
    entries = list(world.audit.read(first, last, VERIFIED.value))
    assert [(each["event"], each["actor"]) for each in entries] == [
        ("started", "client:web"),
        ("verified", "policy"),
        ("consumed", "client:web"),
    ]
    assert {each["test"] for each in entries} == {"true"}
    assert all("test" not in each for each in world.audit.read(first, last, OTHER_NUMBER.value))
