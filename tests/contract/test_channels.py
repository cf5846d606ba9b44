"""Texts, codes, fallbacks and second steps do what the contract promises, over every store."""

import threading
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from waitcall.application.create import CreateCommand, Risk
from waitcall.application.expire import Sweep
from waitcall.application.fallback import Channels
from waitcall.domain.assurance import Assurance, Attested
from waitcall.domain.call import Outcome
from waitcall.domain.channel import Captcha, Channel, InboundText
from waitcall.domain.code import CodeDelivery, DeliveryReport
from waitcall.domain.conversion import ConversionBudget, Group
from waitcall.domain.errors import (
    AlreadyVerified,
    AttemptsSpent,
    Blocked,
    CaptchaRequired,
    CodeMismatch,
    Contested,
    Expired,
    NoFallback,
    NotFound,
    NotPending,
    PhoneNumberNotAllowed,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    SendsSpent,
    ValidationFailed,
    VerificationInProgress,
    WrongChannel,
)
from waitcall.domain.limits import Limit, LimitCheck, Mode, Scope
from waitcall.domain.lists import ListAction, ListEntry, ListKind
from waitcall.domain.numbers import E164
from waitcall.domain.policy import CaptchaRule, Client, OnConcurrent, Policy, Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

from tests.fakes.clock import FakeClock
from tests.fakes.outside import SHOWN, FakeProvider, FakeSender, RecordingObserver
from tests.making import (
    NUMBER,
    SEALS,
    admission,
    call_at,
    effects_of,
    messages_of,
    seconds,
    together,
    use_cases,
)
from tests.worlds import World

OURS = E164("+79585550000")
CALL, TEXT_IN, CODE = Channel.CALL, Channel.TEXT_IN, Channel.CODE
PURPOSES = {
    "every": Purpose("every", channels=(CALL, TEXT_IN, CODE)),
    "code": Purpose("code", channels=(CODE,), on_concurrent=OnConcurrent.CONTEST),
    "code_then_call": Purpose("code_then_call", channels=(CODE, CALL)),
    "text_in": Purpose("text_in", channels=(TEXT_IN,)),
    "contested_text": Purpose("contested_text", channels=(TEXT_IN,), on_concurrent=OnConcurrent.CONTEST),
    "two_steps": Purpose("two_steps", second_step=CODE),
    "strict": Purpose("strict", channels=(CALL, TEXT_IN, CODE), min_assurance=Assurance.NETWORK),
    "strictest": Purpose("strictest", channels=(CALL, CODE), min_assurance=Assurance.ROUNDTRIP),
}
POLICY = Policy(
    dial_regions=frozenset({"RU"}),
    purposes=PURPOSES,
    clients={"web": Client("web", frozenset(PURPOSES)), "app": Client("app", frozenset(PURPOSES))},
    assurance={"RU": Attested(Assurance.NETWORK, "of the tests")},
    text_in_numbers=(OURS,),
    code_texts={"en": "{code} is your code.", "ru": "Ваш код: {code}."},
)


@dataclass
class Stage:
    world: World
    provider: FakeProvider
    sender: FakeSender
    observer: RecordingObserver
    clock: FakeClock
    policy: Policy = POLICY

    def __post_init__(self) -> None:
        self.verifications, self.calls = use_cases(
            self.world, self.provider, self.observer, self.clock, self.policy, self.sender
        )
        self.channels = Channels(
            store=self.world.store,
            admission=admission(self.world, self.observer, self.policy),
            effects=effects_of(self.policy),
            opening=self.verifications.creating._opening,
            seals=SEALS,
            observer=self.observer,
            clock=self.clock,
            policy=self.policy,
        )
        self.messages = messages_of(self.world, self.observer, self.clock, self.policy)

    def start(self, purpose: str, channel: Channel | None = None, **more: object) -> Verification:
        ask = CreateCommand(NUMBER.value, purpose, "flow", channel=channel, **more)
        return self.verifications.start("web", ask).verification

    def text(self, record: Verification, **changes: str) -> Outcome:
        asked = record.text_in
        assert asked is not None
        message = InboundText(NUMBER.value, asked.number.value, asked.text)
        return self.messages.record_text(replace(message, **changes))

    def check(self, record: Verification, code: str | None = None) -> Verification:
        return self.channels.check("web", record.id, self.sender.code if code is None else code)

    def wrong(self) -> str:
        return f"{(int(self.sender.code) + 1) % 1000000:06}"

    def now(self, record: Verification) -> Verification:
        return self.verifications.get("web", record.id)

    def reported(self, delivery: CodeDelivery, reason: str | None = None, message: int = -1) -> None:
        message_id = self.sender.sent[message][2]
        self.messages.record_report(DeliveryReport(message_id, NUMBER.value, delivery, reason))

    def audited(self) -> Counter[str]:
        # Redis names the entries by its own clock, not by the test's.
        entries = self.world.audit.read(datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
        return Counter(each["event"] for each in entries)


def whole(stage: Stage) -> datetime:
    return stage.clock().replace(microsecond=0)


@pytest.fixture
def stage(world: World, provider: FakeProvider, observer: RecordingObserver, clock: FakeClock) -> Stage:
    return Stage(world, provider, FakeSender(), observer, clock)


def test_a_text_from_the_phone_verifies(stage: Stage) -> None:
    record = stage.start("text_in")
    assert (record.status, record.call_number, record.assurance) == (Status.PENDING, None, Assurance.ASSERTED)
    assert record.text_in is not None
    assert record.text_in.number == OURS
    assert record.text_in.uri == f"sms:+79585550000?body={record.text_in.text}"
    stage.clock.advance(20)

    assert stage.text(record) is Outcome.CONFIRMED
    read = stage.now(record)
    assert (read.status, read.reason) == (Status.VERIFIED, Reason.TEXT_MATCHED)
    assert stage.text(record) is Outcome.REPEATED
    assert stage.verifications.consume("web", record.id, "text_in", "flow").status is Status.CONSUMED
    assert stage.observer.counts["verified",] == 1
    assert stage.audited()["verified"] == 1
    assert not stage.provider.orders


@pytest.mark.parametrize("written", [" {} ", "{}.", "«{}»", "lower", "spaced"])
def test_how_a_text_is_written_does_not_matter(stage: Stage, written: str) -> None:
    record = stage.start("text_in")
    text = record.text_in.text if record.text_in else ""
    spelt = {"lower": text.lower(), "spaced": f"{text[:4]} {text[4:]}"}.get(written, written.format(text))

    assert stage.text(record, text=spelt) is Outcome.CONFIRMED


def test_sender_recipient_and_text_must_all_be_right(stage: Stage) -> None:
    record = stage.start("text_in")

    assert stage.text(record, cli="+79991234568") is Outcome.OTHER
    assert stage.text(record, to="+79585550001") is Outcome.UNMATCHED
    assert stage.text(record, text="K7Q4MX2") is Outcome.UNMATCHED
    assert stage.text(record, text="") is Outcome.UNMATCHED
    assert stage.calls.record(call_at(stage.clock())) is Outcome.UNMATCHED
    assert stage.now(record).status is Status.PENDING


def test_a_captured_text_never_verifies_a_later_verification(stage: Stage) -> None:
    first = stage.start("text_in")
    assert stage.text(first) is Outcome.CONFIRMED
    stage.clock.advance(60)
    second = stage.start("text_in")

    assert stage.text(first) is Outcome.UNMATCHED
    assert stage.now(second).status is Status.PENDING


def test_a_contested_text_proves_nothing(stage: Stage) -> None:
    record = stage.start("contested_text")
    with pytest.raises(VerificationInProgress):
        stage.verifications.start("app", CreateCommand(NUMBER.value, "contested_text"))

    assert stage.text(record) is Outcome.CONTESTED
    assert stage.now(record).status is Status.CONTESTED


def test_a_text_of_a_channel_that_was_left_proves_nothing(stage: Stage) -> None:
    record = stage.start("every", TEXT_IN)
    stage.channels.fall_back("web", record.id)

    assert stage.text(record) is Outcome.OTHER
    assert stage.now(record).status is Status.PENDING


def test_a_late_text_is_too_late(stage: Stage) -> None:
    record = stage.start("text_in")
    stage.clock.advance(901)

    assert stage.text(record) is Outcome.LATE
    assert (stage.now(record).status, stage.now(record).reason) == (Status.EXPIRED, Reason.LATE_TEXT)


def test_the_reason_of_an_expiry_names_what_was_missing(stage: Stage) -> None:
    found = {}
    for channel in Channel:
        record = stage.start("every", channel)
        stage.clock.advance(900)
        found[channel] = stage.now(record).reason
    assert found == {CALL: Reason.NO_CALL, TEXT_IN: Reason.NO_TEXT, CODE: Reason.NO_CODE}


def test_a_code_that_is_typed_verifies(stage: Stage) -> None:
    record = stage.start("code", locale="ru-RU")
    ((to, text, message_id, captcha),) = stage.sender.sent
    assert (to, captcha) == (NUMBER, None)
    assert text == f"Ваш код: {stage.sender.code}."
    assert 1 <= message_id <= 2147483647
    assert record.assurance is Assurance.ROUNDTRIP
    assert record.code is not None
    assert record.code.delivery is CodeDelivery.QUEUED
    assert stage.sender.code not in repr(record)
    assert stage.sender.code not in str(record.code)

    checked = stage.check(record)
    assert (checked.status, checked.reason) == (Status.VERIFIED, Reason.CODE_MATCHED)
    # A client that got no answer may ask again.
    assert stage.check(record) == checked
    assert stage.verifications.consume("web", record.id, "code", "flow").status is Status.CONSUMED
    with pytest.raises(AlreadyVerified):
        stage.check(record)
    assert stage.audited() == Counter({"started": 1, "code_sent": 1, "verified": 1, "consumed": 1})


@pytest.mark.parametrize(
    ("locale", "begins"), [(None, "0"), ("ru", "В"), ("ru-KZ", "В"), ("en-GB", "0"), ("de", "0")]
)
def test_a_code_comes_in_the_nearest_language(stage: Stage, locale: str | None, begins: str) -> None:
    stage.start("code", locale=locale)

    text = stage.sender.sent[0][1]
    assert ("В" if text.startswith("В") else "0") == begins


def test_a_call_or_a_text_does_not_verify_a_code(stage: Stage) -> None:
    record = stage.start("code")

    assert stage.calls.record(call_at(stage.clock())) is Outcome.UNMATCHED
    assert (
        stage.messages.record_text(InboundText(NUMBER.value, OURS.value, stage.sender.code)) is Outcome.OTHER
    )
    assert stage.now(record).status is Status.PENDING


def test_a_hundred_wrong_codes_spend_exactly_five_attempts(stage: Stage) -> None:
    record = stage.start("code")
    wrong = stage.wrong()

    results = Counter(type(each) for each in together(100, lambda _: stage.check(record, wrong)))

    assert results == {CodeMismatch: 5, AttemptsSpent: 95}
    after = stage.now(record)
    assert (after.status, after.reason) == (Status.FAILED, Reason.ATTEMPTS_SPENT)
    with pytest.raises(AttemptsSpent):
        stage.check(record)


def test_the_right_code_on_the_last_attempt_verifies(stage: Stage) -> None:
    record = stage.start("code")
    left = []
    for _ in range(4):
        with pytest.raises(CodeMismatch) as refused:
            stage.check(record, stage.wrong())
        left.append(refused.value.attempts_left)

    assert left == [4, 3, 2, 1]
    assert stage.check(record).status is Status.VERIFIED


def test_a_code_is_valid_for_its_own_verification_only(stage: Stage) -> None:
    stage.start("code")
    earlier = stage.sender.code
    stage.clock.advance(901)
    later = stage.start("code")
    while stage.sender.code == earlier:
        stage.clock.advance(901)
        later = stage.start("code")

    with pytest.raises(CodeMismatch):
        stage.check(later, earlier)
    with pytest.raises(NotFound):
        stage.channels.check("app", later.id, stage.sender.code)


def test_a_refused_check_gives_its_reason(stage: Stage) -> None:
    call = stage.start("every")
    with pytest.raises(WrongChannel):
        stage.check(call, "123456")
    with pytest.raises(WrongChannel):
        stage.channels.resend("web", call.id)
    stage.verifications.cancel("web", call.id)
    with pytest.raises(NotPending):
        stage.check(call, "123456")
    late = stage.start("code")
    stage.clock.advance(900)
    with pytest.raises(Expired):
        stage.check(late)
    contested = stage.start("code")
    with pytest.raises(VerificationInProgress):
        stage.verifications.start("app", CreateCommand(NUMBER.value, "code"))
    with pytest.raises(Contested):
        stage.check(contested)


def test_a_second_code_waits_and_the_third_longer(stage: Stage) -> None:
    record = stage.start("code")
    first = stage.sender.code
    waits = []
    for _ in range(3):
        with pytest.raises(RateLimited) as refused:
            stage.channels.resend("web", record.id)
        waits.append(refused.value.retry_after)
        stage.clock.advance(refused.value.retry_after)
        stage.channels.resend("web", record.id)
    stage.clock.advance(600)
    with pytest.raises(SendsSpent):
        stage.channels.resend("web", record.id)

    assert waits == [30, 60, 120]
    assert len({message_id for *_, message_id, _ in stage.sender.sent}) == 4
    # The code of the first message, which may come late, still counts.
    assert stage.check(record, first).status is Status.VERIFIED


def test_attempts_are_counted_over_all_codes(stage: Stage) -> None:
    record = stage.start("code")
    for _ in range(4):
        with pytest.raises(CodeMismatch):
            stage.check(record, stage.wrong())
    stage.clock.advance(30)
    stage.channels.resend("web", record.id)

    with pytest.raises(CodeMismatch):
        stage.check(record, stage.wrong())
    with pytest.raises(AttemptsSpent):
        stage.check(record)


def test_one_of_simultaneous_resends_sends(stage: Stage) -> None:
    record = stage.start("code")
    stage.clock.advance(30)

    results = together(20, lambda _: stage.channels.resend("web", record.id))

    assert len(stage.sender.sent) == 2
    assert len([each for each in results if isinstance(each, Verification)]) == 1
    assert len([each for each in results if isinstance(each, RateLimited)]) == 19


def test_a_message_that_the_provider_refused_may_be_sent_again_at_once(stage: Stage) -> None:
    record = stage.start("code")
    stage.clock.advance(30)
    stage.sender.failures = [ProviderError()]
    with pytest.raises(ProviderError):
        stage.channels.resend("web", record.id)
    refused = stage.now(record).code
    assert refused is not None
    assert (refused.delivery, refused.delivery_reason) == (CodeDelivery.FAILED, "provider_error")

    assert stage.channels.resend("web", record.id).code is not None
    assert stage.check(record).status is Status.VERIFIED
    assert stage.audited()["code_sent"] == 3
    assert stage.audited()["code_refused"] == 1


def test_a_late_failure_does_not_change_the_next_message(stage: Stage) -> None:
    record = stage.start("code")
    stage.clock.advance(30)

    def meanwhile() -> None:
        stage.sender.during = lambda: None
        stage.clock.advance(60)
        stage.channels.resend("web", record.id)

    stage.sender.failures, stage.sender.during = [ProviderUnavailable()], meanwhile
    with pytest.raises(ProviderUnavailable):
        stage.channels.resend("web", record.id)

    code = stage.now(record).code
    assert code is not None
    assert (len(code.digests), code.delivery, code.refused) == (3, CodeDelivery.QUEUED, False)


def test_a_code_that_cannot_be_sent_frees_the_number(stage: Stage) -> None:
    stage.sender.failures = [ProviderUnavailable()]

    with pytest.raises(ProviderUnavailable) as failure:
        stage.start("code")
    failed = stage.verifications.get("web", failure.value.verification_id or "")
    assert (failed.status, failed.reason) == (Status.FAILED, Reason.PROVIDER_UNAVAILABLE)
    assert stage.start("code").status is Status.PENDING


def test_reports_change_the_delivery_of_the_latest_message_only(stage: Stage) -> None:
    # The provider may report before its answer to the request arrives.
    stage.sender.during = lambda: stage.reported(CodeDelivery.QUEUED)
    record = stage.start("code")
    stage.reported(CodeDelivery.FAILED, "not_in_network")
    code = stage.now(record).code
    assert code is not None
    assert (code.delivery, code.delivery_reason) == (CodeDelivery.FAILED, "not_in_network")

    stage.sender.during = lambda: None
    stage.clock.advance(30)
    stage.channels.resend("web", record.id)
    # A report on the earlier message says nothing about the later one.
    stage.reported(CodeDelivery.DELIVERED, message=0)
    code = stage.now(record).code
    assert code is not None
    assert code.delivery is CodeDelivery.QUEUED
    stage.reported(CodeDelivery.DELIVERED)
    stage.reported(CodeDelivery.QUEUED)
    code = stage.now(record).code
    assert code is not None
    assert (code.delivery, code.delivery_reason) == (CodeDelivery.DELIVERED, None)
    assert stage.check(record).status is Status.VERIFIED


def test_a_report_that_overtakes_the_answer_is_kept(stage: Stage) -> None:
    stage.sender.during = lambda: stage.reported(CodeDelivery.DELIVERED)

    record = stage.start("code")

    assert record.code is not None
    assert record.code.delivery is CodeDelivery.DELIVERED


def test_a_fallback_keeps_the_id_and_opens_a_window_of_its_own(stage: Stage) -> None:
    record = stage.start("every")
    assert (record.channel, record.next_channel) == (CALL, TEXT_IN)
    stage.clock.advance(600)
    text = stage.channels.fall_back("web", record.id)
    assert (text.id, text.channel, text.call_number) == (record.id, TEXT_IN, None)
    assert text.expires_at == whole(stage) + seconds(900)
    # The channel that was left proves nothing any more.
    assert stage.calls.record(call_at(stage.clock())) is Outcome.UNMATCHED

    stage.clock.advance(600)
    code = stage.channels.fall_back("web", record.id)
    assert (code.channel, code.text_in, code.assurance) == (CODE, None, Assurance.ROUNDTRIP)
    assert len(stage.sender.sent) == 1
    with pytest.raises(NoFallback):
        stage.channels.fall_back("web", record.id)
    stage.clock.advance(600)
    assert stage.check(code).status is Status.VERIFIED
    assert stage.audited()["fallback"] == 2


def test_a_fallback_that_is_asked_for_again_is_answered_and_costs_nothing(stage: Stage) -> None:
    record = stage.start("every")

    results = together(20, lambda _: stage.channels.fall_back("web", record.id, CODE))

    assert len(stage.sender.sent) == 1
    assert {each.channel for each in results if isinstance(each, Verification)} == {CODE}
    assert not [each for each in results if not isinstance(each, Verification | NoFallback)], results
    assert stage.channels.fall_back("web", record.id, CODE).channel is CODE
    assert len(stage.sender.sent) == 1
    with pytest.raises(NoFallback):
        stage.channels.fall_back("web", record.id, TEXT_IN)


def test_a_fallback_to_a_call_orders_a_number(stage: Stage) -> None:
    record = stage.start("code_then_call")
    stage.clock.advance(400)
    # A call from before the channel was opened does not count.
    early = call_at(stage.clock() - seconds(60))

    moved = stage.channels.fall_back("web", record.id)
    assert (moved.channel, moved.call_number, moved.ordering_until) == (CALL, SHOWN, None)
    assert moved.assurance is Assurance.NETWORK
    assert stage.calls.record(early) is Outcome.EARLY
    stage.clock.advance(890)
    assert stage.calls.record(call_at(stage.clock())) is Outcome.CONFIRMED


def test_a_replayed_call_of_an_earlier_channel_proves_nothing(stage: Stage) -> None:
    """A call counts only for the channel that was open when it rang, whether or not it was used."""
    record = stage.start("code_then_call")
    call = call_at(stage.clock())
    assert stage.calls.record(call) is Outcome.UNMATCHED
    stage.clock.advance(850)
    stage.channels.fall_back("web", record.id)
    stage.clock.advance(850)

    assert stage.calls.record(call) in (Outcome.EARLY, Outcome.REPEATED)
    assert stage.now(record).status is Status.PENDING


def test_an_order_of_a_fallback_that_fails_may_be_repeated(stage: Stage) -> None:
    record = stage.start("code_then_call")
    stage.provider.failures = [ProviderUnavailable()]
    with pytest.raises(ProviderUnavailable):
        stage.channels.fall_back("web", record.id)
    waiting = stage.now(record)
    assert (waiting.channel, waiting.call_number, waiting.status) == (CALL, None, Status.PENDING)
    assert stage.calls.record(call_at(stage.clock())) is Outcome.UNMATCHED

    results = together(10, lambda _: stage.channels.fall_back("web", record.id, CALL))
    assert len(stage.provider.orders) == 2
    assert [each for each in results if isinstance(each, Verification) and each.call_number == SHOWN]
    assert stage.calls.record(call_at(stage.clock() + seconds(1))) is Outcome.CONFIRMED


def test_while_the_order_of_a_fallback_is_under_way_no_other_is_placed(stage: Stage) -> None:
    record = stage.start("code_then_call")
    seen = []
    stage.provider.during = lambda: seen.append(stage.channels.fall_back("web", record.id, CALL))

    stage.channels.fall_back("web", record.id)

    assert len(stage.provider.orders) == 1
    assert [each.call_number for each in seen] == [None]


def test_an_order_that_died_with_its_process_can_be_placed_again(stage: Stage) -> None:
    record = stage.start("code_then_call")

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    stage.provider.during = die
    with pytest.raises(Killed):
        stage.channels.fall_back("web", record.id)
    stage.provider.during = lambda: None
    assert stage.channels.fall_back("web", record.id, CALL).call_number is None
    stage.clock.advance(30)
    assert stage.channels.fall_back("web", record.id, CALL).call_number == SHOWN


def test_an_order_that_another_request_has_placed_meanwhile_is_not_placed_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = stage.start("code_then_call")
    stage.provider.failures = [ProviderUnavailable()]
    with pytest.raises(ProviderUnavailable):
        stage.channels.fall_back("web", record.id)
    quick = stage.world.store.commit

    def overtaken(*_: object, **__: object) -> None:
        monkeypatch.setattr(stage.world.store, "commit", quick)
        assert stage.channels.fall_back("web", record.id, CALL).call_number == SHOWN

    monkeypatch.setattr(stage.world.store, "commit", overtaken)
    with pytest.raises(ProviderUnavailable) as refused:
        stage.channels.fall_back("web", record.id, CALL)
    assert refused.value.retry_after == 1
    assert len(stage.provider.orders) == 2


def test_a_channel_that_proves_too_little_is_no_fallback(stage: Stage) -> None:
    record = stage.start("strict")
    with pytest.raises(PhoneNumberNotAllowed):
        stage.channels.fall_back("web", record.id)
    assert stage.channels.fall_back("web", record.id, CODE).channel is CODE
    with pytest.raises(PhoneNumberNotAllowed):
        stage.start("strictest", CALL)


def test_a_channel_that_the_purpose_does_not_allow_is_refused(stage: Stage) -> None:
    with pytest.raises(ValidationFailed) as refused:
        stage.start("text_in", CODE)
    assert refused.value.errors == {"channel": ["This purpose allows text_in."]}
    assert not stage.sender.sent


def test_two_steps_prove_more_than_either(stage: Stage) -> None:
    record = stage.start("two_steps")
    assert (record.channel, record.assurance) == (CALL, Assurance.ROUNDTRIP)
    with pytest.raises(WrongChannel):
        stage.channels.resend("web", record.id)
    call = call_at(stage.clock())
    assert stage.calls.record(call) is Outcome.CONFIRMED
    halfway = stage.now(record)
    assert (halfway.status, halfway.channel, halfway.code) == (Status.PENDING, CODE, None)
    assert halfway.called_at == whole(stage)
    assert not stage.sender.sent
    with pytest.raises(WrongChannel):
        stage.check(record, "123456")
    stage.clock.advance(5)
    assert stage.calls.record(call_at(stage.clock())) is Outcome.REPEATED

    stage.channels.resend("web", record.id)
    checked = stage.check(record)
    assert (checked.status, checked.reason) == (Status.VERIFIED, Reason.CODE_MATCHED)
    assert stage.observer.counts["verified",] == 1
    expected = {"started": 1, "first_step": 1, "code_sent": 1, "verified": 1}
    assert stage.audited() == Counter(expected)


def test_two_steps_are_one_verification_for_the_conversion_guard(stage: Stage) -> None:
    budget = ConversionBudget(Group.COUNTRY, mode=Mode.RECORD_ONLY)
    counting = Stage(
        stage.world,
        stage.provider,
        stage.sender,
        stage.observer,
        stage.clock,
        replace(POLICY, conversion=(budget,)),
    )
    record = counting.start("two_steps")
    counting.calls.record(call_at(stage.clock()))
    counting.channels.resend("web", record.id)
    counting.check(record)

    buckets = stage.world.conversions.buckets(budget, "RU")
    assert [(each.started, each.called) for each in buckets] == [(1, 1)]


def test_a_sweep_knows_the_window_of_the_channel(stage: Stage) -> None:
    record = stage.start("every")
    stage.clock.advance(600)
    stage.channels.fall_back("web", record.id)
    sweep = Sweep(stage.world.store, stage.world.deadlines, stage.observer, stage.clock, effects_of(POLICY))
    stage.clock.advance(400)
    sweep.run()
    assert stage.now(record).status is Status.PENDING
    stage.clock.advance(500)
    sweep.run()
    assert stage.observer.counts["finished", "expired", "no_text"] == 1


def test_a_long_poll_ends_when_the_channel_changes(stage: Stage) -> None:
    record = stage.start("two_steps")
    answered: list[Verification] = []
    waiting = threading.Thread(
        target=lambda: answered.append(stage.verifications.get("web", record.id, wait_seconds=30)),
        # The test's clock stands still, so a poll that does not end would wait for ever.
        daemon=True,
    )
    waiting.start()
    stage.calls.record(call_at(stage.clock()))
    waiting.join(20)

    assert [each.channel for each in answered] == [CODE]


def test_every_code_counts_against_the_limits(stage: Stage) -> None:
    policy = replace(POLICY, limits={Scope.NUMBER: (Limit(2, 600),)})
    limited = Stage(stage.world, stage.provider, stage.sender, stage.observer, stage.clock, policy)
    record = limited.start("code")
    limited.clock.advance(30)
    limited.channels.resend("web", record.id)
    limited.clock.advance(60)
    with pytest.raises(RateLimited, match="Too many verifications of this number"):
        limited.channels.resend("web", record.id)
    assert len(limited.sender.sent) == 2
    assert limited.check(record).status is Status.VERIFIED


def test_a_request_that_loses_a_race_counts_for_no_limit(stage: Stage) -> None:
    limit = Limit(50, 600)
    policy = replace(POLICY, limits={Scope.NUMBER: (limit,)})
    limited = Stage(stage.world, stage.provider, stage.sender, stage.observer, stage.clock, policy)
    record = limited.start("every")

    together(20, lambda _: limited.channels.fall_back("web", record.id))

    # Requests that ran one after the other may each have moved one channel further.
    limit_check = LimitCheck(Scope.NUMBER, f"{NUMBER.value} client web", limit)
    (state,) = stage.world.limits.look([limit_check], stage.clock())
    assert state.used == 1 + stage.audited()["fallback"]


def test_a_report_on_an_unknown_message_is_accepted(stage: Stage) -> None:
    report = DeliveryReport(7, NUMBER.value, CodeDelivery.DELIVERED)
    stage.messages.record_report(report)
    assert stage.observer.counts["callback", "status", "other"] == 1


def test_right_codes_do_not_count_for_the_limit_of_wrong_ones(stage: Stage) -> None:
    policy = replace(POLICY, limits={Scope.FAILED_CHECKS: (Limit(1, 600),)})
    limited = Stage(stage.world, stage.provider, stage.sender, stage.observer, stage.clock, policy)
    for _ in range(3):
        record = limited.start("code")
        assert limited.check(record).status is Status.VERIFIED
        limited.verifications.consume("web", record.id, "code", "flow")
        limited.clock.advance(60)
    record = limited.start("code")
    with pytest.raises(CodeMismatch):
        limited.check(record, limited.wrong())
    with pytest.raises(RateLimited):
        limited.check(record)


def test_each_accepted_message_is_counted(stage: Stage) -> None:
    record = stage.start("code")
    stage.clock.advance(30)
    stage.channels.resend("web", record.id)
    assert stage.observer.counts["code_sent",] == 2


def test_a_fallback_that_the_record_refuses_costs_nothing(stage: Stage) -> None:
    limited = Stage(
        stage.world,
        stage.provider,
        stage.sender,
        stage.observer,
        stage.clock,
        replace(POLICY, limits={Scope.CLIENT: (Limit(1, 600),)}),
    )
    record = limited.start("every", TEXT_IN)
    # A used-up limit does not hide the refusal of the record.
    for _ in range(3):
        with pytest.raises(NoFallback):
            limited.channels.fall_back("web", record.id, CALL)
    with pytest.raises(RateLimited):
        limited.channels.fall_back("web", record.id, CODE)
    limited.clock.advance(600)
    assert limited.channels.fall_back("web", record.id, CODE).channel is CODE


def test_a_block_refuses_a_fallback(stage: Stage) -> None:
    record = stage.start("every")
    until = stage.clock() + seconds(600)
    stage.world.lists.put(
        ListEntry(ListAction.BLOCK, ListKind.NUMBER, NUMBER.value, reason="abuse", expires_at=until),
        stage.clock(),
    )
    with pytest.raises(Blocked):
        stage.channels.fall_back("web", record.id, CODE)
    assert stage.now(record).channel is CALL


def test_beyond_a_rate_codes_cost_a_captcha(stage: Stage) -> None:
    rule = CaptchaRule((Limit(1, 600, Mode.RECORD_ONLY),), "https://smsc.ru/sys/imgcode.php")
    number = (Limit(3, 600),)
    policy = replace(POLICY, captcha=rule, limits={Scope.NUMBER: number})
    busy = Stage(stage.world, stage.provider, stage.sender, stage.observer, stage.clock, policy)
    first = busy.start("code")
    busy.verifications.cancel("web", first.id)

    for _ in range(5):
        # A refused create counts for no limit and does not take the number.
        with pytest.raises(CaptchaRequired) as refused:
            busy.start("code")
    assert refused.value.image_url == rule.image_url
    solved = Captcha("ab12", "203.0.113.7")
    second = busy.start("code", captcha=solved)
    assert busy.sender.sent[-1][3] == solved
    busy.verifications.cancel("web", second.id)
    # The client's own risk score decides: low skips the captcha, high demands it. Other channels need no captcha.
    busy.verifications.cancel("web", busy.start("code", risk=Risk.LOW).id)
    busy.clock.advance(600)
    with pytest.raises(CaptchaRequired):
        busy.start("code", risk=Risk.HIGH)
    assert busy.start("every", risk=Risk.HIGH).status is Status.PENDING
    assert len(busy.sender.sent) == 3
