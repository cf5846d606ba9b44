"""Limits that each act counts for (docs/limits.md), over every store, with exact counts."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.contract.channels.conftest import OURS, Stage
from tests.fakes.outside import FakeSender
from tests.making import NUMBER, call_at, operating, records_of, together
from waitcall.application.create import CreateCommand
from waitcall.application.expire import ExpireVerifications
from waitcall.application.operate import Subject
from waitcall.application.ports import Change
from waitcall.domain.channel import Assurance, Attested, Channel
from waitcall.domain.errors import (
    AttemptsSpent,
    CodeMismatch,
    PhoneNumberNotAllowed,
    ProviderError,
    RateLimited,
    VerificationInProgress,
)
from waitcall.domain.limits import Limit, Scope
from waitcall.domain.matching import Outcome
from waitcall.domain.numbers import E164
from waitcall.domain.policy import Client, OnConcurrent, Policy, Purpose
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification

CALL, TEXT_IN, CODE = Channel.CALL, Channel.TEXT_IN, Channel.CODE
PURPOSES = {
    "login": Purpose("login", channels=(CALL, TEXT_IN, CODE)),
    "code": Purpose("code", channels=(CODE, CALL), max_attempts=10),
    "two_steps": Purpose("two_steps", second_step=CODE, on_concurrent=OnConcurrent.CONTEST),
    "contest": Purpose("contest", on_concurrent=OnConcurrent.CONTEST),
    "reset": Purpose("reset", on_concurrent=OnConcurrent.CONTEST, min_assurance=Assurance.NETWORK),
}
OWNER, ATTACKER = "198.51.100.7", "192.0.2.1"


@pytest.fixture
def staged(world, provider, observer, clock):
    def make(**texts: list[str]) -> Stage:
        limits = {Scope(name): tuple(map(Limit.parse, each)) for name, each in texts.items()}
        policy = Policy(
            dial_regions=frozenset({"RU"}),
            purposes=PURPOSES,
            clients={name: Client(name, frozenset(PURPOSES)) for name in ("web", "app")},
            limits=limits,
            assurance={"RU": Attested(Assurance.NETWORK, "of the tests")},
            text_in_numbers=(OURS,),
            code_texts={"en": "{code} is your code."},
        )
        return Stage(world, provider, FakeSender(), observer, clock, policy)

    return make


def number(index: int) -> str:
    return f"+7999{2000000 + index}"


def start(stage: Stage, phone: str = NUMBER.value, purpose: str = "login", **more: object) -> Verification:
    asked = {"client_ip": ATTACKER} | more
    return stage.verifications.start("web", CreateCommand(phone, purpose, **asked)).verification


def used(stage: Stage, *, client_ip: str | None = ATTACKER, client: str | None = "web") -> dict[Scope, int]:
    operator = operating(stage.world, stage.observer, stage.clock, stage.policy)
    states = operator.explain("ops", Subject(NUMBER.value, client_ip, client)).limits
    return {state.scope: state.used for state in states}


EVERY = {name: ["50/h"] for name in ("number", "ip", "network", "client", "country", "global")}


@pytest.mark.parametrize("scope", ["ip", "network", "client", "country", "global"])
def test_fallbacks_and_resends_count_for_whatever_the_create_counted_for(staged, scope) -> None:
    stage = staged(**{scope: ["4/h"]})
    first, second = start(stage), start(stage, number(1))
    stage.channels.fall_back("web", first.id, CODE)
    stage.clock.advance(60)
    stage.channels.resend("web", first.id)
    stage.clock.advance(120)

    for act in (
        lambda: stage.channels.resend("web", first.id),
        lambda: stage.channels.fall_back("web", second.id, CODE),
        lambda: stage.channels.fall_back("web", second.id, TEXT_IN),
        lambda: start(stage, number(2)),
    ):
        with pytest.raises(RateLimited):
            act()

    assert (len(stage.provider.orders), len(stage.sender.sent)) == (2, 2)
    stage.clock.advance(3600 - 180)
    assert start(stage, number(2)).status is Status.PENDING


def test_one_way_through_all_channels_counts_each_step_once(staged) -> None:
    stage = staged(**EVERY, code_number=["50/h"])
    record = start(stage)
    for _ in range(3):
        stage.channels.fall_back("web", record.id, TEXT_IN)
    stage.channels.fall_back("web", record.id, CODE)

    of_the_act = dict.fromkeys(map(Scope, EVERY), 3)
    assert used(stage) == of_the_act | {Scope.NUMBER_TOTAL: 1, Scope.CODE_NUMBER: 1, Scope.PROVIDER: 1}


def test_the_code_of_a_second_step_and_the_order_of_a_fallback_count_for_the_address(staged) -> None:
    stage = staged(ip=["3/h"])
    record = start(stage, purpose="two_steps")
    assert stage.calls.record(call_at(stage.clock())) is Outcome.CONFIRMED
    stage.channels.resend("web", record.id)
    stage.check(record)
    stage.clock.advance(60)
    coded = start(stage, purpose="code")

    with pytest.raises(RateLimited):
        stage.channels.fall_back("web", coded.id, CALL)
    assert len(stage.provider.orders) == 1
    stage.clock.advance(3600)
    assert start(stage, purpose="code").id != coded.id


def test_a_record_keeps_no_address(staged, world) -> None:
    if world.name == "memory":
        pytest.skip("the store in memory keeps no documents")
    stage = staged(**EVERY)
    record = start(stage, client_ip="192.0.2.231")
    stored = world.store.get(record.id)

    assert stored.verification.paid_by.keys() == {"number", "ip", "network"}
    assert b"192.0.2" not in stored.version
    with world.client() as client:
        nodes = client.get_primaries() if hasattr(client, "get_primaries") else [None]
        for node in nodes:
            for key in client.keys("*", target_nodes=node) if node else client.keys("*"):
                assert b"192.0.2" not in key


def test_a_refused_or_contesting_create_costs_its_address_network_and_client_and_nobody_else(staged) -> None:
    stage = staged(**EVERY)
    start(stage, client_ip=OWNER, purpose="contest")
    start(stage, number(1), client_ip=OWNER)
    for phone in (NUMBER.value, number(1)):
        with pytest.raises(VerificationInProgress):
            start(stage, phone)

    assert used(stage) == {
        Scope.NUMBER: 0,
        Scope.NUMBER_TOTAL: 1,
        Scope.IP: 2,
        Scope.NETWORK: 2,
        Scope.CLIENT: 4,
        Scope.COUNTRY: 2,
        Scope.GLOBAL: 2,
        Scope.PROVIDER: 1,
    }


@pytest.mark.parametrize("scope", ["ip", "network", "client"])
def test_forty_contests_at_once_spoil_as_many_as_the_limit_and_no_more(staged, scope) -> None:
    stage = staged()
    owners = [start(stage, number(i), "reset", client_ip=f"198.51.100.{i}") for i in range(40)]
    limited = staged(**{scope: ["5/h"]})

    answers = together(40, lambda index: start(limited, number(index), "reset", client_ip=ATTACKER))

    assert Counter(map(type, answers)) == {VerificationInProgress: 5, RateLimited: 35}
    standing = Counter(stage.now(each).status for each in owners)
    assert standing == {Status.CONTESTED: 5, Status.PENDING: 35}
    assert stage.observer.counts["contested",] == 5


def test_a_requester_that_repeats_itself_while_its_order_is_under_way_pays_once(staged) -> None:
    stage = staged(ip=["2/h"])

    def again() -> None:
        for _ in range(5):
            with pytest.raises(VerificationInProgress):
                start(stage, reference="flow")

    stage.provider.during = again
    start(stage, reference="flow")
    stage.provider.during = lambda: None

    assert start(stage, reference="flow").status is Status.PENDING
    assert start(stage, number(1)).status is Status.PENDING


@pytest.mark.parametrize(
    ("live", "second", "status"),
    [
        ("reset", "contest", Status.PENDING),
        ("reset", "login", Status.PENDING),
        ("reset", "reset", Status.CONTESTED),
        ("reset", "two_steps", Status.CONTESTED),
        ("two_steps", "reset", Status.PENDING),
        ("two_steps", "two_steps", Status.CONTESTED),
        ("contest", "login", Status.CONTESTED),
    ],
)
def test_a_contest_needs_a_purpose_that_demands_as_much(staged, live, second, status) -> None:
    stage = staged(ip=["1/h"])
    record = start(stage, purpose=live, client_ip=OWNER)

    with pytest.raises(VerificationInProgress):
        start(stage, purpose=second)

    assert stage.now(record).status is status
    with pytest.raises(RateLimited):
        start(stage, number(1))


def test_a_stranger_who_starts_and_cancels_locks_nobody_out_but_himself(staged) -> None:
    stage = staged(number=["5/10m", "20/d"])
    for index in range(20):
        stage.verifications.cancel("web", start(stage).id)
        stage.clock.advance(150 if index < 19 else 0)
    with pytest.raises(RateLimited):
        start(stage)

    owner = start(stage, client_ip=OWNER)

    assert owner.status is Status.PENDING
    assert len(stage.provider.orders) == 21


@pytest.mark.parametrize("ends", ["canceled", "expired", "failed", "swept"])
def test_an_uncalled_verification_is_given_back_to_number_total_and_to_no_other_limit(staged, ends) -> None:
    stage = staged(**EVERY)
    record = start(stage)
    assert used(stage)[Scope.NUMBER_TOTAL] == 1
    if ends == "canceled":
        stage.verifications.cancel("web", record.id)
    else:
        stage.clock.advance(900)
    if ends == "expired":
        stage.now(record)
    if ends == "swept":
        ExpireVerifications(
            records_of(stage.world, stage.observer, stage.policy), stage.world.deadlines, stage.clock
        ).run()
    if ends == "failed":
        stage.now(record)
        stage.provider.failures = [ProviderError()]
        with pytest.raises(ProviderError):
            start(stage)

    spent = {Scope.NUMBER, Scope.IP, Scope.NETWORK, Scope.CLIENT, Scope.COUNTRY, Scope.GLOBAL}
    counts = used(stage)
    assert counts[Scope.NUMBER_TOTAL] == 0
    assert {counts[scope] for scope in spent} == {1}


def test_an_army_of_addresses_does_not_lock_a_number_out_of_calls(staged) -> None:
    stage = staged(number=["2/d"])
    for index in range(30):
        stage.verifications.cancel("web", start(stage, client_ip=f"192.0.2.{index}").id)

    assert start(stage, client_ip=OWNER).status is Status.PENDING


def test_a_called_verification_counts_for_the_number_from_any_address(staged) -> None:
    stage = staged(number=["2/d"], number_total=["3/d"])
    for index in range(3):
        start(stage, client_ip=f"192.0.2.{index}")
        assert stage.calls.record(call_at(stage.clock())) is Outcome.CONFIRMED
        stage.clock.advance(60)

    with pytest.raises(RateLimited) as refused:
        start(stage, client_ip=OWNER)
    assert refused.value.retry_after == 86400 - 180
    assert [state.scope for state in refused.value.limits] == [Scope.NUMBER_TOTAL]
    assert start(stage, number(1)).status is Status.PENDING


def test_without_an_address_the_client_is_counted_in_its_place(staged) -> None:
    stage = staged(number=["2/d"])
    for _ in range(2):
        stage.verifications.cancel("web", start(stage, client_ip=None).id)

    with pytest.raises(RateLimited):
        start(stage, client_ip=None)
    assert stage.verifications.start("app", CreateCommand(NUMBER.value, "login")).created


def test_codes_count_for_the_number_alone_and_calls_stay_open(staged) -> None:
    """All codes to a number reach one person and are on one bill, from any address that asks for them."""
    stage = staged(code_number=["3/h"])
    for index in range(3):
        record = start(stage, channel=CODE, client_ip=f"192.0.2.{index}")
        stage.verifications.cancel("web", record.id)
    with pytest.raises(RateLimited, match="codes"):
        start(stage, channel=CODE, client_ip=OWNER)

    called = start(stage, client_ip=OWNER)
    with pytest.raises(RateLimited, match="codes"):
        stage.channels.fall_back("web", called.id, CODE)
    assert len(stage.sender.sent) == 3
    assert stage.calls.record(call_at(stage.clock())) is Outcome.CONFIRMED


def test_wrong_codes_have_one_budget_over_all_verifications_of_a_number(staged) -> None:
    stage = staged(failed_checks=["20/d"])
    for index in range(4):
        record = start(stage, channel=CODE, client_ip=f"192.0.2.{index}")
        for _ in range(5):
            with pytest.raises(CodeMismatch):
                stage.check(record, stage.wrong())
    fifth = start(stage, channel=CODE, client_ip=OWNER)

    for code in (stage.wrong(), stage.sender.code):
        with pytest.raises(RateLimited) as refused:
            stage.check(fifth, code)
        assert refused.value.retry_after == 86400
    assert stage.now(fifth).code.attempts == 0
    stage.clock.advance(86400)
    later = start(stage, channel=CODE, client_ip=OWNER)
    assert stage.check(later).status is Status.VERIFIED


def test_a_hundred_wrong_codes_at_once_over_several_verifications_are_compared_twenty_times(staged) -> None:
    stage = staged(failed_checks=["20/d"])
    answers: Counter[type] = Counter()
    for index in range(4):
        record = start(stage, purpose="code", client_ip=f"192.0.2.{index}")
        wrong = stage.wrong()
        answers += Counter(map(type, together(100, lambda _, r=record, w=wrong: stage.check(r, w))))
        if index == 3:
            with pytest.raises(RateLimited):
                stage.check(record)
        stage.clock.advance(900)

    assert answers[CodeMismatch] == 20
    assert answers.keys() <= {CodeMismatch, AttemptsSpent, RateLimited}


def test_a_right_code_and_a_code_after_the_last_attempt_are_not_counted(staged) -> None:
    stage = staged(failed_checks=["5/d"])
    for _ in range(6):
        record = start(stage, channel=CODE)
        assert stage.check(record).status is Status.VERIFIED
        assert stage.check(record).status is Status.VERIFIED
        stage.clock.advance(60)
    record = start(stage, channel=CODE)
    for _ in range(5):
        with pytest.raises(CodeMismatch):
            stage.check(record, stage.wrong())
    with pytest.raises(AttemptsSpent):
        stage.check(record, stage.wrong())

    assert used(stage)[Scope.FAILED_CHECKS] == 5


def test_an_operator_sees_who_paid_and_lets_the_number_pass(staged) -> None:
    stage = staged(number=["1/d"], code_number=["1/d"], failed_checks=["1/d"], ip=["9/d"])
    operator = operating(stage.world, stage.observer, stage.clock, stage.policy)
    record = start(stage, channel=CODE)
    with pytest.raises(CodeMismatch):
        stage.check(record, stage.wrong())
    stage.verifications.cancel("web", record.id)

    told = operator.explain("ops", Subject(NUMBER.value))
    assert {state.scope: state.used for state in told.limits} == {
        Scope.NUMBER: 1,
        Scope.NUMBER_TOTAL: 0,
        Scope.CODE_NUMBER: 1,
        Scope.FAILED_CHECKS: 1,
        Scope.PROVIDER: 0,
    }
    assert [each.detail for each in told.refusals] == ["number 1/d"]
    detailed = operator.explain("ops", Subject(NUMBER.value, OWNER), "code").refusals
    assert [each.detail for each in detailed] == ["code_number 1/d"]

    undone = operator.unblock("ops", Subject(NUMBER.value), "ticket")

    assert set(undone.limits) == {
        Scope.NUMBER,
        Scope.NUMBER_TOTAL,
        Scope.CODE_NUMBER,
        Scope.FAILED_CHECKS,
    }
    assert stage.check(start(stage, channel=CODE)).status is Status.VERIFIED
    # Unblocking the number does not clear the limit of the address.
    assert used(stage)[Scope.IP] == 2


NO_CODES = [
    *("+979123456789", "+78091234567", "+881612345678", "+870773111632", "+878101234567890"),
    *("+8823421234", "+883510012345", "+80812345678", "+80012345678", "+88812345678901"),
    *("+79541234567", "+79401234567", "+78401234567", "+78001234567", "+74951234567"),
    *("+19002345678", "+18005551234", "+447012345678", "+447640123456", "+443001234567"),
]


@pytest.mark.parametrize("phone", NO_CODES)
def test_no_code_goes_to_a_number_that_costs_or_cannot_read_it(staged, phone) -> None:
    stage = staged()
    for act in (
        lambda: start(stage, phone, channel=CODE),
        lambda: start(stage, phone, "two_steps"),
        lambda: stage.channels.fall_back("web", start(stage, phone, reference="flow").id, CODE),
    ):
        with pytest.raises(PhoneNumberNotAllowed):
            act()

    assert stage.sender.sent == []
    # Only the third act placed an order, because its verification began with a call.
    assert len(stage.provider.orders) == 1


def test_a_code_is_not_sent_again_to_a_number_that_may_have_none(staged) -> None:
    """A record that an older version made for such a number may still be live."""
    stage = staged()
    record = start(stage, channel=CODE)
    stored = stage.world.store.get(record.id)
    made_before = replace(stored.verification, phone_number=E164("+79541234567"))
    assert stage.world.store.commit(Change(stored, made_before), stage.clock()) is not None
    stage.clock.advance(60)

    with pytest.raises(PhoneNumberNotAllowed):
        stage.channels.resend("web", record.id)
    assert len(stage.sender.sent) == 1
