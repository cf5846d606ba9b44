"""The conversion guard, seals and blocks, over the store in memory."""

from dataclasses import replace

import pytest

from tests.fakes.outside import RecordingObserver
from tests.making import NOW, NUMBER, POLICY, admission, seconds
from tests.unit.application.conftest import ADDRESS, entry
from tests.worlds import World
from waitcall.application.admission import Screening
from waitcall.application.applicable_limits import subjects_with_the_address
from waitcall.domain.conversion import Bucket, ConversionBudget, Group
from waitcall.domain.errors import RateLimited
from waitcall.domain.limits import Mode, Scope
from waitcall.domain.lists import ListAction, ListKind

BUDGET = ConversionBudget(Group.COUNTRY, Mode.ENFORCE, settle_seconds=0, floor=0, max_uncalled_share=0.1)
GUARDED = replace(POLICY, conversion=(BUDGET,))
ALLOWED_NUMBER = entry(ListAction.ALLOW, ListKind.NUMBER, NUMBER.value)
ALLOWED_ADDRESS = entry(ListAction.ALLOW, ListKind.NETWORK, ADDRESS)


def test_the_conversion_guard_lets_only_an_allowed_number_pass(
    world: World, observer: RecordingObserver
) -> None:
    guarding = admission(world, observer, GUARDED)
    uncalled = [[Bucket(BUDGET.bucket_of(NOW - seconds(60)), 9, 0)]]
    guarding.guard(NUMBER, Screening.of([ALLOWED_NUMBER]), uncalled, NOW)
    assert observer.counts == {}
    with pytest.raises(RateLimited):
        guarding.guard(NUMBER, Screening.of([ALLOWED_ADDRESS]), uncalled, NOW)
    with pytest.raises(ValueError, match="zip"):
        guarding.guard(NUMBER, Screening.of([]), [], NOW)


def test_a_record_keeps_no_seal_of_an_address_that_is_not_counted(
    world: World, observer: RecordingObserver
) -> None:
    admitting = admission(world, observer)
    subjects = {scope.value for scope in subjects_with_the_address(NUMBER, ADDRESS)}
    counted = admitting.seals(NUMBER, ADDRESS, Screening.of([]))
    assert counted is not None
    assert set(counted) == subjects
    vouched = admitting.seals(NUMBER, ADDRESS, Screening.of([ALLOWED_ADDRESS, ALLOWED_NUMBER]))
    assert set(vouched or {}) == {Scope.NUMBER.value}


@pytest.mark.parametrize(("left", "told"), [(60, 60), (0.4, 1), (1.2, 2)])
def test_a_block_says_in_whole_seconds_when_it_ends(
    world: World, observer: RecordingObserver, left: float, told: int
) -> None:
    ends = replace(entry(ListAction.BLOCK, ListKind.NUMBER, NUMBER.value), expires_at=NOW + seconds(left))
    world.lists.put(ends, NOW)
    blocked = admission(world, observer).blocking(NUMBER, NOW)
    assert blocked is not None
    assert blocked.retry_after == told
