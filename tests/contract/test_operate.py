"""Explain, block, unblock and the audit stream, over every store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.making import NUMBER, OTHER_NUMBER, call_at, operating, use_cases, with_limits
from waitcall.application.create import CreateCommand
from waitcall.application.effects import AuditEntry
from waitcall.application.operate import Subject
from waitcall.application.request_context import request_id
from waitcall.domain.channel import Assurance
from waitcall.domain.conversion import ConversionBudget, Group
from waitcall.domain.errors import (
    Blocked,
    InvalidPhoneNumber,
    NotFound,
    RateLimited,
    StoreUnavailable,
    ValidationFailed,
    VerificationInProgress,
)
from waitcall.domain.limits import Mode, Scope
from waitcall.domain.lists import ListAction, ListKind
from waitcall.domain.matching import Outcome
from waitcall.domain.policy import Purpose
from waitcall.domain.status import Reason, Status

ASK = CreateCommand(NUMBER.value, "login", "flow", client_ip="192.0.2.1")
BUDGET = ConversionBudget(Group.COUNTRY, Mode.ENFORCE, settle_seconds=0, floor=0, max_uncalled_share=0.1)
POLICY = replace(
    with_limits(number=["1/10m"], ip=["5/h"], country=["100/h"], read=["100/m"]), conversion=(BUDGET,)
)


@pytest.fixture
def stage(world, provider, observer, clock):
    verifications, calls = use_cases(world, provider, observer, clock, POLICY)
    return verifications, calls, operating(world, observer, clock, POLICY)


def events(world, number: str | None = None) -> list[str]:
    ages = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    return [entry["event"] for entry in world.audit.read(*ages, number)]


def test_a_fresh_number_is_refused_by_nothing(stage) -> None:
    _, _, operator = stage

    told = operator.explain("ops", Subject(NUMBER.value, "192.0.2.1", "web"))

    assert told.refusals == ()
    assert [(state.scope, state.used) for state in told.limits] == [
        (Scope.NUMBER, 0), (Scope.NUMBER_TOTAL, 0), (Scope.IP, 0), (Scope.COUNTRY, 0), (Scope.READ, 0),
        (Scope.PROVIDER, 0),
    ]  # fmt: skip
    assert (told.verification, told.busy_until) == (None, None)


def test_explain_names_everything_that_refuses_and_spends_nothing(stage, clock) -> None:
    verifications, _, operator = stage
    live = verifications.start("web", ASK).verification
    operator.put(
        "ops", action=ListAction.BLOCK, kind=ListKind.PREFIX, subject="+7999", reason="why", expires_in=60
    )
    clock.advance(130)
    operator.put(
        "ops",
        action=ListAction.BLOCK,
        kind=ListKind.NETWORK,
        subject="192.0.2.0/28",
        reason="why",
        expires_in=60,
    )

    for _ in range(3):
        told = operator.explain("ops", Subject(NUMBER.value, "192.0.2.1"))

    assert [(each.code, each.retry_after) for each in told.refusals] == [
        ("blocked", 60),
        ("verification_in_progress", 770),
        ("rate_limited", told.conversions[0].retry_after),
        ("rate_limited", 470),
    ]
    assert [(entry.subject, entry.by) for entry in told.lists] == [("192.0.2.0/28", "ops")]
    assert told.verification is not None
    assert (told.verification.id, told.verification.status) == (live.id, Status.PENDING)
    assert [(state.scope, state.used) for state in told.limits] == [
        (Scope.NUMBER, 1), (Scope.NUMBER_TOTAL, 1), (Scope.IP, 1), (Scope.COUNTRY, 1), (Scope.PROVIDER, 0),
    ]  # fmt: skip


def test_explain_says_what_the_purpose_does_not_allow(world, observer, clock) -> None:
    demanding = {"reset": Purpose("reset", min_assurance=Assurance.NETWORK)}
    policy = replace(POLICY, purposes=POLICY.purposes | demanding)
    operator = operating(world, observer, clock, policy)

    (refusal,) = operator.explain("ops", Subject(NUMBER.value), "reset").refusals
    assert (refusal.code, refusal.retry_after) == ("phone_number_not_allowed", None)
    (refusal,) = operator.explain("ops", Subject("+78001234567"), "mobile_only").refusals
    assert refusal.code == "phone_number_not_allowed"
    assert operator.explain("ops", Subject(NUMBER.value), "mobile_only").refusals == ()
    with pytest.raises(ValidationFailed):
        operator.explain("ops", Subject(NUMBER.value), "nothing")


def test_explain_predicts_what_create_does(stage, clock) -> None:
    verifications, calls, operator = stage
    verifications.start("web", ASK)
    calls.record(call_at(clock()))
    clock.advance(60)

    (refusal,) = operator.explain("ops", Subject(NUMBER.value, "192.0.2.1")).refusals
    with pytest.raises(RateLimited) as refused:
        verifications.start("web", ASK)

    assert (refusal.code, refusal.retry_after) == (refused.value.code, refused.value.retry_after)
    clock.advance(refusal.retry_after)
    assert operator.explain("ops", Subject(NUMBER.value)).refusals == ()
    assert verifications.start("web", ASK).created


def test_unblock_lets_the_number_and_the_address_pass_at_once(stage, clock) -> None:
    verifications, calls, operator = stage
    verifications.start("web", ASK)
    calls.record(call_at(clock()))
    clock.advance(60)
    for kind, subject in ((ListKind.NUMBER, NUMBER.value), (ListKind.NETWORK, "192.0.2.1")):
        operator.put("ops", action=ListAction.BLOCK, kind=kind, subject=subject, reason="why", expires_in=600)
    with pytest.raises(Blocked):
        verifications.start("web", ASK)

    undone = operator.unblock("ops", Subject(NUMBER.value, "192.0.2.1"), "ticket 1")

    assert set(undone.limits) == {Scope.NUMBER, Scope.NUMBER_TOTAL, Scope.IP}
    assert {entry.kind for entry in undone.lists} == {ListKind.NUMBER, ListKind.NETWORK}
    assert verifications.start("web", ASK).created


@pytest.mark.parametrize("written", ["::ffff:192.0.2.1", "192.0.2.1"])
def test_an_address_is_one_however_it_is_written(stage, written) -> None:
    verifications, _, operator = stage
    verifications.start("web", ASK)
    operator.put(
        "ops", action=ListAction.BLOCK, kind=ListKind.NETWORK, subject="192.0.2.1", reason="w", expires_in=60
    )

    told = operator.explain("ops", Subject(client_ip=written))
    assert [(state.scope, state.used) for state in told.limits] == [(Scope.IP, 1)]
    assert [refusal.code for refusal in told.refusals] == ["blocked"]
    undone = operator.unblock("ops", Subject(client_ip=written), "why")

    assert [entry.subject for entry in undone.lists] == ["192.0.2.1/32"]
    assert operator.explain("ops", Subject(client_ip="192.0.2.1")).refusals == ()


def test_one_limit_can_be_cleared_alone(stage, world, clock) -> None:
    verifications, _, operator = stage
    verifications.start("web", ASK)

    undone = operator.unblock("ops", Subject(NUMBER.value, "192.0.2.1"), "why", scope=Scope.COUNTRY)

    assert undone.limits == (Scope.COUNTRY,)
    used = {state.scope: state.used for state in operator.explain("ops", Subject(NUMBER.value)).limits}
    assert (used[Scope.NUMBER], used[Scope.COUNTRY]) == (1, 0)


@pytest.mark.parametrize(("scope", "is_freed"), [(None, True), (Scope.NUMBER, True), (Scope.COUNTRY, False)])
def test_a_number_is_freed_for_every_client_that_asked_for_it_from_no_address(
    stage, clock, scope: Scope | None, is_freed: bool
) -> None:
    verifications, _, operator = stage
    for client in ("web", "app"):
        made = verifications.start(client, replace(ASK, client_ip=None)).verification
        verifications.cancel(client, made.id)
    operator.unblock("ops", Subject(NUMBER.value), "why", scope=scope)
    for client in ("web", "app"):
        if is_freed:
            made = verifications.start(client, replace(ASK, client_ip=None)).verification
            verifications.cancel(client, made.id)
        else:
            with pytest.raises(RateLimited):
                verifications.start(client, replace(ASK, client_ip=None))


def test_unblocking_does_not_clear_the_providers_ceiling(stage) -> None:
    verifications, _, operator = stage
    verifications.start("web", ASK)

    operator.unblock("ops", Subject(NUMBER.value), "why", verification=True, conversion=True)

    used = {state.scope: state.used for state in operator.explain("ops", Subject(NUMBER.value)).limits}
    assert used == {Scope.NUMBER: 0, Scope.NUMBER_TOTAL: 0, Scope.COUNTRY: 1, Scope.PROVIDER: 1}


def test_an_operator_frees_a_number_that_somebody_squats_on(stage, clock) -> None:
    verifications, calls, operator = stage
    squatted = verifications.start("app", replace(ASK, client_ip=None)).verification
    with pytest.raises(VerificationInProgress):
        verifications.start("web", ASK)

    undone = operator.unblock("ops", Subject(NUMBER.value), "why", verification=True)

    assert undone.verification_canceled
    canceled = verifications.get("app", squatted.id)
    assert (canceled.status, canceled.reason) == (Status.CANCELED, Reason.BY_OPERATOR)
    assert calls.record(call_at(clock())) is not Outcome.CONFIRMED
    assert verifications.start("web", ASK).created
    assert not operator.unblock(
        "ops", Subject(OTHER_NUMBER.value), "why", verification=True
    ).verification_canceled


def test_a_tripped_guard_is_reset(stage, clock) -> None:
    verifications, _, operator = stage
    verifications.start("web", ASK)
    clock.advance(200)
    with pytest.raises(RateLimited):
        verifications.start("web", CreateCommand(OTHER_NUMBER.value, "login"))

    assert operator.unblock("ops", Subject(NUMBER.value), "why", conversion=True).conversions == 1

    assert verifications.start("web", CreateCommand(OTHER_NUMBER.value, "login")).created


def test_a_wider_block_survives_the_unblocking_of_one_number(stage) -> None:
    verifications, _, operator = stage
    operator.put(
        "ops", action=ListAction.BLOCK, kind=ListKind.PREFIX, subject="+7999", reason="w", expires_in=60
    )

    assert operator.unblock("ops", Subject(NUMBER.value), "why").lists == ()
    with pytest.raises(Blocked):
        verifications.start("web", ASK)
    operator.remove("ops", ListKind.PREFIX, "+7999", "why")
    assert verifications.start("web", ASK).created
    with pytest.raises(NotFound):
        operator.remove("ops", ListKind.PREFIX, "+7999", "why")


def test_unblocking_leaves_entries_that_allow(stage) -> None:
    _, _, operator = stage
    operator.put(
        "ops",
        action=ListAction.ALLOW,
        kind=ListKind.NUMBER,
        subject=NUMBER.value,
        reason="vip",
        expires_in=60,
    )

    assert operator.unblock("ops", Subject(NUMBER.value), "why").lists == ()
    assert [entry.action for entry in operator.lists("ops")] == [ListAction.ALLOW]


def test_a_callers_own_request_id_brings_no_number_into_the_audit_stream(stage, world) -> None:
    verifications, _, _ = stage
    ages = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    for given, number in ((NUMBER.digits, NUMBER), ("req-4711", OTHER_NUMBER)):
        token = request_id.set(given)
        verifications.start("web", CreateCommand(number.value, "login"))
        request_id.reset(token)

    assert [e.get("request_id") for e in world.audit.read(*ages, NUMBER.value)] == [None]
    assert [e.get("request_id") for e in world.audit.read(*ages, OTHER_NUMBER.value)] == ["req-4711"]


def test_all_entries_that_have_not_ended_are_listed(stage, clock) -> None:
    _, _, operator = stage
    for lasting, subject in ((60, "+7800"), (600, "+7801")):
        operator.put(
            "ops",
            action=ListAction.BLOCK,
            kind=ListKind.PREFIX,
            subject=subject,
            reason="w",
            expires_in=lasting,
        )
    assert {entry.subject for entry in operator.lists("ops")} == {"+7800", "+7801"}
    clock.advance(60)
    assert [entry.subject for entry in operator.lists("ops")] == ["+7801"]


def test_an_entry_is_returned_as_stored_and_only_a_number_is_left_out_of_its_audit_entry(
    stage, world
) -> None:
    ages = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    for kind, subject in ((ListKind.NUMBER, NUMBER.value), (ListKind.PREFIX, "+7800")):
        put = stage[2].put(
            "ops", action=ListAction.BLOCK, kind=kind, subject=subject, reason="w", expires_in=1
        )
        assert (put.kind, put.subject, put.expires_at - put.created_at) == (
            kind,
            subject,
            timedelta(seconds=1),
        )
    assert [(e["event"], e.get("subject")) for e in world.audit.read(*ages, NUMBER.value)] == [
        ("block", None)
    ]
    assert [(e["event"], e["subject"]) for e in world.audit.read(*ages) if "subject" in e] == [
        ("block", "+7800")
    ]


@pytest.mark.parametrize(
    "act",
    [
        lambda operator: operator.explain("ops", Subject()),
        lambda operator: operator.explain("ops", Subject(client="nobody")),
        lambda operator: operator.explain("ops", Subject(client_ip="192.0.2.0/24")),
        lambda operator: operator.explain("ops", Subject("+7999")),
        lambda operator: operator.explain("ops", Subject(client_ip="fe80::1%eth0")),
        lambda operator: operator.unblock("ops", Subject(client_ip="fe80::1%eth0"), "why"),
        lambda operator: operator.unblock("ops", Subject(NUMBER.value), ""),
        lambda operator: operator.unblock("ops", Subject(NUMBER.value), "x" * 201),
        lambda operator: operator.put(
            "ops", action=ListAction.BLOCK, kind=ListKind.PREFIX, subject="x", reason="w", expires_in=1
        ),
        lambda operator: operator.put(
            "ops", action=ListAction.BLOCK, kind=ListKind.PREFIX, subject="+7", reason="w", expires_in=0
        ),
        lambda operator: operator.put(
            "ops",
            action=ListAction.BLOCK,
            kind=ListKind.PREFIX,
            subject="+7",
            reason="w",
            expires_in=367 * 86400,
        ),
    ],
)
def test_an_invalid_act_is_refused_and_not_audited(stage, world, act) -> None:
    with pytest.raises((ValidationFailed, InvalidPhoneNumber)):
        act(stage[2])

    assert events(world) == []


def test_every_transition_and_every_act_is_in_the_audit_stream(stage, world, clock) -> None:
    verifications, calls, operator = stage
    record = verifications.start("web", ASK).verification
    calls.record(call_at(clock()))
    verifications.consume("web", record.id, "login", "flow")
    operator.unblock("ops", Subject(NUMBER.value), "why", conversion=True)
    clock.advance(60)
    second = verifications.start("web", ASK).verification
    verifications.cancel("web", second.id)
    operator.unblock("ops", Subject(NUMBER.value), "why", conversion=True)
    third = verifications.start("web", ASK).verification
    clock.advance(900)
    verifications.get("web", third.id)
    operator.explain("ops", Subject(OTHER_NUMBER.value))
    operator.lists("ops")

    life = [
        "started", "verified", "consumed", "unblock", "started", "canceled", "unblock", "started", "expired",
    ]  # fmt: skip
    assert events(world, NUMBER.value) == life
    assert events(world, OTHER_NUMBER.value) == ["explain"]
    assert sorted(events(world)) == sorted([*life, "explain", "lists"])


def test_an_act_that_cannot_be_audited_does_not_happen(stage, world, observer, clock) -> None:
    class Full:
        def append(self, entry: AuditEntry, announcement: object = None) -> None:
            raise StoreUnavailable

    verifications, _, _ = stage
    record = verifications.start("web", ASK).verification
    operator = operating(replace(world, audit=Full()), observer, clock, POLICY)

    for act in (
        lambda: operator.unblock("ops", Subject(NUMBER.value), "why", verification=True),
        lambda: operator.put(
            "ops", action=ListAction.BLOCK, kind=ListKind.PREFIX, subject="+7999", reason="w", expires_in=60
        ),
        lambda: operator.explain("ops", Subject(NUMBER.value)),
        lambda: operator.lists("ops"),
    ):
        with pytest.raises(StoreUnavailable):
            act()

    assert verifications.get("web", record.id).status is Status.PENDING
    assert world.lists.directory().entries == {}


def test_a_transition_outlives_a_lost_audit_entry(world, provider, observer, clock) -> None:
    class Full:
        def append(self, entry: AuditEntry, announcement: object = None) -> None:
            raise StoreUnavailable

    verifications, calls = use_cases(replace(world, audit=Full()), provider, observer, clock)

    record = verifications.start("web", ASK).verification
    assert calls.record(call_at(clock())) is Outcome.CONFIRMED
    assert verifications.consume("web", record.id, "login", "flow").status is Status.CONSUMED
