"""Operators' acts: their audit entries, edge cases of blocking and unblocking, explanations, and looking up."""

from dataclasses import replace

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import (
    NOW,
    NUMBER,
    OTHER_NUMBER,
    POLICY,
    Verifications,
    opened,
    operating,
    reserve,
    seconds,
    use_cases,
)
from tests.worlds import World, memory_world
from waitcall.application.create import CreateCommand
from waitcall.application.effects import AuditEntry
from waitcall.application.operate import (
    LONGEST_EXPIRES_IN,
    OperatorActions,
    Subject,
    asked_by,
    check_reason,
    refusals,
)
from waitcall.domain.channel import Channel
from waitcall.domain.conversion import Conversion, ConversionBudget, Group
from waitcall.domain.errors import NotFound, ValidationFailed
from waitcall.domain.limits import Limit, LimitState, Mode, Scope
from waitcall.domain.lists import ListAction, ListEntry, ListKind
from waitcall.domain.policy import Purpose
from waitcall.domain.status import Status

GUARDED = replace(POLICY, conversion=(ConversionBudget(Group.COUNTRY, Mode.RECORD_ONLY),))
WHY = "ticket 1"


@pytest.fixture
def world() -> World:
    return memory_world()


@pytest.fixture
def verifications(world: World, clock: FakeClock) -> Verifications:
    return use_cases(world, FakeProvider(), RecordingObserver(), clock, GUARDED)[0]


@pytest.fixture
def operator(world: World, clock: FakeClock) -> OperatorActions:
    return operating(world, RecordingObserver(), clock, GUARDED)


def last(world: World) -> AuditEntry:
    return world.audit.entries[-1]


@pytest.mark.parametrize(
    ("what", "details"),
    [
        ({}, {}),
        ({"scope": Scope.COUNTRY}, {"scope": "country"}),
        ({"verification": True}, {"verification": "cancel"}),
        ({"conversion": True}, {"conversion": "clear"}),
    ],
)
def test_an_unblock_is_audited_with_its_reason_and_what_it_undoes(
    operator: OperatorActions, world: World, what: dict[str, object], details: dict[str, str]
) -> None:
    operator.unblock("ann", Subject(NUMBER.value), WHY, **what)
    assert (last(world).event, last(world).actor, last(world).phone_number) == (
        "unblock",
        "operator:ann",
        NUMBER.value,
    )
    assert last(world).details == {"reason": WHY} | details


@pytest.mark.parametrize(
    ("subject", "details"),
    [
        (Subject(NUMBER.value), {}),
        (Subject(NUMBER.value, client_ip="192.0.2.1"), {"client_ip": "given"}),
        (Subject(client="web"), {"client": "web"}),
    ],
)
def test_the_audit_entry_says_that_an_address_was_given_but_not_which(
    operator: OperatorActions, world: World, subject: Subject, details: dict[str, str]
) -> None:
    operator.explain("ann", subject)
    assert (last(world).event, last(world).phone_number) == ("explain", subject.phone_number)
    assert last(world).details == details


def test_an_entry_is_audited_when_it_is_made_and_when_it_is_taken_out(
    operator: OperatorActions, world: World, clock: FakeClock
) -> None:
    ends = (clock().replace(microsecond=0) + seconds(60)).isoformat()
    operator.put(
        "ann", action=ListAction.BLOCK, kind=ListKind.PREFIX, subject="+7999", reason=WHY, expires_in=60
    )
    told = {"kind": "prefix", "subject": "+7999", "expires_at": ends}
    assert (last(world).event, last(world).details) == ("block", {"reason": WHY} | told)
    operator.remove("ann", ListKind.PREFIX, "+7999", "solved")
    assert (last(world).event, last(world).details) == ("remove", {"reason": "solved"} | told)
    with pytest.raises(NotFound):
        operator.remove("ann", ListKind.PREFIX, "+7999", "solved")
    assert len(world.audit.entries) == 2


def test_an_entry_may_last_for_a_year_and_a_leap_day(operator: OperatorActions, clock: FakeClock) -> None:
    entry = operator.put(
        *("ann",),
        action=ListAction.BLOCK,
        kind=ListKind.NUMBER,
        subject=NUMBER.value,
        reason=WHY,
        expires_in=LONGEST_EXPIRES_IN,
    )
    assert entry.expires_at == clock().replace(microsecond=0) + seconds(366 * 86400)


def test_an_unblock_without_a_number_undoes_nothing_of_any_number(
    operator: OperatorActions, verifications: Verifications
) -> None:
    made = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    undone = operator.unblock("ann", Subject(client="web"), WHY, verification=True, conversion=True)
    assert (undone.verification_canceled, undone.conversions) == (False, 0)
    assert verifications.get("web", made.id).status is Status.PENDING


def test_a_verification_is_canceled_only_where_that_is_asked_and_it_still_waits(
    operator: OperatorActions, verifications: Verifications, clock: FakeClock
) -> None:
    made = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    assert not operator.unblock("ann", Subject(NUMBER.value), WHY).verification_canceled
    assert verifications.get("web", made.id).status is Status.PENDING
    clock.advance(900)
    assert not operator.unblock("ann", Subject(NUMBER.value), WHY, verification=True).verification_canceled
    assert verifications.get("web", made.id).status is Status.EXPIRED


BLOCK = ListEntry(ListAction.BLOCK, ListKind.NUMBER, NUMBER.value, reason="abuse")
ALLOW = replace(BLOCK, action=ListAction.ALLOW)
SPENT = LimitState(Scope.NUMBER, Limit(1, 600), 1, 400)
GUARD = Conversion(ConversionBudget(Group.COUNTRY, Mode.ENFORCE), 9, 0, exceeded=True, retry_after=70)


def told(*given: object) -> list[tuple[str, int | None]]:
    return [(each.code, each.retry_after) for each in refusals(*given, NOW)]


@pytest.mark.parametrize(
    ("ends", "retry_after"), [(None, None), (60, 60), (59.2, 60), (0.4, 1), (0, 1), (-5, 1)]
)
def test_a_block_says_when_it_ends_if_it_does(ends: float | None, retry_after: int | None) -> None:
    expires_at = None if ends is None else NOW + seconds(ends)
    assert told([], [replace(BLOCK, expires_at=expires_at)], [], None) == [("blocked", retry_after)]


def test_everything_that_refuses_is_told_in_the_order_in_which_create_asks() -> None:
    network = replace(BLOCK, kind=ListKind.NETWORK, subject="192.0.2.0/24")
    assert told([SPENT], [network, BLOCK], [GUARD], NOW + seconds(30)) == [
        ("blocked", None),
        ("blocked", None),
        ("verification_in_progress", 30),
        ("rate_limited", 70),
        ("rate_limited", 400),
    ]


def test_limits_that_only_record_or_are_not_used_up_or_exempt_refuse_nothing() -> None:
    recorded = replace(SPENT, limit=replace(SPENT.limit, mode=Mode.RECORD_ONLY))
    calm = replace(GUARD, exceeded=False)
    quiet = replace(GUARD, budget=replace(GUARD.budget, mode=Mode.RECORD_ONLY))
    assert told([recorded, replace(SPENT, used=0)], [], [calm, quiet], None) == []
    assert told([SPENT], [ALLOW], [GUARD], None) == []
    client = replace(SPENT, scope=Scope.CLIENT)
    assert told([SPENT, client], [ALLOW], [], None) == [("rate_limited", 400)]


def test_limits_of_codes_apply_if_the_first_channel_of_the_purpose_is_code() -> None:
    states = [
        replace(SPENT, scope=scope)
        for scope in (Scope.NUMBER, Scope.CODE_NUMBER, Scope.CODE_GLOBAL, Scope.FAILED_CHECKS)
    ]
    by_code = Purpose("x", channels=(Channel.CODE, Channel.CALL))
    by_call = Purpose("x", channels=(Channel.CALL, Channel.CODE))
    assert asked_by(by_code, states) == states[:3]
    assert asked_by(by_call, states) == asked_by(None, states) == states[:1]


def test_a_reason_has_one_to_200_characters() -> None:
    for reason in ("x", "x" * 200):
        assert check_reason(reason) == reason
    for reason in ("", "x" * 201):
        with pytest.raises(ValidationFailed):
            check_reason(reason)


def test_a_verification_is_shown_as_it_stands_now_by_its_id_and_by_its_number(
    operator: OperatorActions, world: World, clock: FakeClock
) -> None:
    reserve(world.store, opened("ver_1", now=clock()), None, clock())
    assert operator.show("ann", "ver_1").id == "ver_1"
    assert operator.find("ann", NUMBER.value).id == "ver_1"
    clock.advance(3600)
    assert not operator.show("ann", "ver_1").is_live
    assert not operator.find("ann", NUMBER.value).is_live
    looks = [
        (each.event, each.actor, each.phone_number, each.verification_id) for each in world.audit.entries
    ]
    assert looks[:2] == [
        ("show", "operator:ann", None, "ver_1"),
        ("find", "operator:ann", NUMBER.value, None),
    ]


def test_a_missing_verification_is_not_found_and_the_look_is_audited(
    operator: OperatorActions, world: World
) -> None:
    with pytest.raises(NotFound):
        operator.show("ann", "ver_2")
    with pytest.raises(NotFound):
        operator.find("ann", OTHER_NUMBER.value)
    assert [each.event for each in world.audit.entries] == ["show", "find"]


def test_a_call_reported_by_hand_is_audited_with_its_reason(operator: OperatorActions, world: World) -> None:
    operator.replayed("ann", NUMBER.value, "lost")
    (entry,) = world.audit.entries
    assert (entry.event, entry.actor, entry.phone_number) == ("replay_callback", "operator:ann", NUMBER.value)
    assert entry.details == {"reason": "lost"}
