import pytest

from tests.making import NOW, NUMBER, seconds
from waitcall.domain.conversion import Bucket, ConversionBudget, Group, judge
from waitcall.domain.limits import Mode

BUDGET = ConversionBudget(
    Group.PREFIX,
    Mode.ENFORCE,
    window_seconds=3000,
    settle_seconds=300,
    floor=10,
    max_uncalled_share=0.5,
    digits=5,
)


def ago(age: float, started: int, called: int = 0) -> Bucket:
    return Bucket(BUDGET.bucket_of(NOW - seconds(age)), started, called)


def test_numbers_are_grouped_by_country_or_by_their_first_digits() -> None:
    assert BUDGET.subject(NUMBER, "RU") == "+79991"
    assert ConversionBudget(Group.COUNTRY, Mode.ENFORCE).subject(NUMBER, "RU") == "RU"


def test_a_window_has_thirty_buckets() -> None:
    assert BUDGET.bucket_seconds == 100
    assert ConversionBudget(Group.COUNTRY, Mode.ENFORCE, window_seconds=60).bucket_seconds == 2
    assert BUDGET.bucket_of(NOW + seconds(99.9)) == BUDGET.bucket_of(NOW) == int(NOW.timestamp())
    assert BUDGET.bucket_of(NOW + seconds(100)) == int(NOW.timestamp()) + 100


def test_the_floor_and_the_share_must_both_be_passed() -> None:
    assert not judge(BUDGET, [ago(1000, 10)], NOW).exceeded
    assert judge(BUDGET, [ago(1000, 11)], NOW).exceeded
    assert not judge(BUDGET, [ago(1000, 40, 20)], NOW).exceeded
    assert judge(BUDGET, [ago(1000, 40, 19)], NOW).exceeded


def test_those_who_may_still_call_are_not_counted() -> None:
    assert not judge(BUDGET, [ago(300, 100)], NOW).exceeded
    assert judge(BUDGET, [ago(400, 100)], NOW).exceeded


def test_what_is_older_than_the_window_is_forgotten() -> None:
    counted = judge(BUDGET, [ago(3000, 100), ago(3100, 7)], NOW)

    assert (counted.started, counted.exceeded) == (100, True)
    assert judge(BUDGET, [ago(3100, 100)], NOW).started == 0


def test_the_guard_says_when_enough_starts_will_be_too_old_to_count() -> None:
    """If nothing else happens, the answer changes at that second and not before."""
    buckets = [ago(2000, 12), ago(1000, 9)]

    told = judge(BUDGET, buckets, NOW)

    assert (told.uncalled, told.exceeded, told.retry_after) == (21, True, 1100)
    assert judge(BUDGET, buckets, NOW + seconds(1099)).exceeded
    assert not judge(BUDGET, buckets, NOW + seconds(1100)).exceeded


def test_without_any_starts_nothing_is_exceeded() -> None:
    told = judge(BUDGET, [], NOW)

    assert (told.started, told.called, told.exceeded, told.retry_after) == (0, 0, False, 0)


@pytest.mark.parametrize(("window", "bucket"), [(3600, 120), (60, 2), (31, 2), (30, 1), (1, 1)])
def test_a_bucket_is_a_thirtieth_of_the_window_and_a_second_at_least(window: int, bucket: int) -> None:
    assert ConversionBudget(Group.COUNTRY, Mode.ENFORCE, window_seconds=window).bucket_seconds == bucket


def test_the_uncalled_are_the_started_less_the_called() -> None:
    budget = ConversionBudget(Group.COUNTRY, Mode.ENFORCE, settle_seconds=0)
    start = budget.bucket_of(NOW - seconds(600))
    assert judge(budget, [Bucket(start, 7, 3)], NOW).uncalled == 4
