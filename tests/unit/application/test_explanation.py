"""Explanation for an operator: everything that would refuse the next create, in order, and until when."""

from dataclasses import replace

import pytest

from tests.making import NOW, NUMBER, seconds
from waitcall.application.explanation import asked_by, check_reason, refusals
from waitcall.domain.channel import Channel
from waitcall.domain.conversion import Conversion, ConversionBudget, Group
from waitcall.domain.errors import ValidationFailed
from waitcall.domain.limits import Limit, LimitState, Mode, Scope
from waitcall.domain.lists import ListAction, ListEntry, ListKind
from waitcall.domain.policy import Purpose

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
