"""Audit entries of operators' acts, and edge cases of blocking and unblocking."""

from dataclasses import replace

import pytest

from tests.fakes.clock import FakeClock
from tests.fakes.outside import FakeProvider, RecordingObserver
from tests.making import NUMBER, POLICY, Verifications, operating, seconds, use_cases
from tests.worlds import World, memory_world
from waitcall.application.audit import AuditEntry
from waitcall.application.create import CreateCommand
from waitcall.application.explanation import Subject
from waitcall.application.operate import LONGEST_EXPIRES_IN, Operator
from waitcall.domain.conversion import ConversionBudget, Group
from waitcall.domain.errors import NotFound
from waitcall.domain.limits import Mode, Scope
from waitcall.domain.lists import ListAction, ListKind
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
def operator(world: World, clock: FakeClock) -> Operator:
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
    operator: Operator, world: World, what: dict[str, object], details: dict[str, str]
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
    operator: Operator, world: World, subject: Subject, details: dict[str, str]
) -> None:
    operator.explain("ann", subject)
    assert (last(world).event, last(world).phone_number) == ("explain", subject.phone_number)
    assert last(world).details == details


def test_an_entry_is_audited_when_it_is_made_and_when_it_is_taken_out(
    operator: Operator, world: World, clock: FakeClock
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


def test_an_entry_may_last_for_a_year_and_a_leap_day(operator: Operator, clock: FakeClock) -> None:
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
    operator: Operator, verifications: Verifications
) -> None:
    made = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    undone = operator.unblock("ann", Subject(client="web"), WHY, verification=True, conversion=True)
    assert (undone.verification_canceled, undone.conversions) == (False, 0)
    assert verifications.get("web", made.id).status is Status.PENDING


def test_a_verification_is_canceled_only_where_that_is_asked_and_it_still_waits(
    operator: Operator, verifications: Verifications, clock: FakeClock
) -> None:
    made = verifications.start("web", CreateCommand(NUMBER.value, "login", "flow")).verification
    assert not operator.unblock("ann", Subject(NUMBER.value), WHY).verification_canceled
    assert verifications.get("web", made.id).status is Status.PENDING
    clock.advance(900)
    assert not operator.unblock("ann", Subject(NUMBER.value), WHY, verification=True).verification_canceled
    assert verifications.get("web", made.id).status is Status.EXPIRED
