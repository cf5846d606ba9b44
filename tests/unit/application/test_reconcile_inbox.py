"""Time of a call in the inbox: the only instant that its wall-clock time can mean, or None; inspection of the inbox."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.making import NOW, NUMBER, seconds
from waitcall.application.reconcile_inbox import InboxRecord, instant, like_calls
from waitcall.domain.numbers import E164, mask


def wall(at: datetime, offset: int) -> datetime:
    return (at + seconds(offset)).replace(tzinfo=None)


@given(
    ago=st.integers(0, 84),
    quarters=st.integers(-48, 56),
    known=st.booleans(),
)
def test_between_two_polls_every_zone_names_one_instant(ago: int, quarters: int, known: bool) -> None:
    at, offset = NOW - seconds(ago), quarters * 900
    placed = instant(wall(at, offset), NOW - seconds(85), NOW + seconds(5), offset if known else None)
    assert placed == (at, offset)


def test_after_a_long_gap_an_unknown_zone_leaves_several_instants_so_none_is_taken() -> None:
    assert instant(wall(NOW, 10800), NOW - timedelta(hours=1), NOW, None) == (None, None)


def test_after_a_long_gap_a_known_zone_still_names_the_instant() -> None:
    at = NOW - timedelta(minutes=40)
    assert instant(wall(at, 10800), NOW - timedelta(hours=1), NOW, 10800) == (at, 10800)


def test_a_zone_that_changed_is_learned_again_or_nothing_is_taken() -> None:
    at = NOW - seconds(20)
    assert instant(wall(at, 7200), NOW - seconds(85), NOW, 10800) == (at, 7200)
    assert instant(wall(at, 7200), NOW - timedelta(hours=2), NOW, 10800 + 86400) == (None, None)


@pytest.mark.parametrize("ago", [86, 300, 899])
def test_a_call_from_before_the_last_poll_is_never_moved_behind_it(ago: int) -> None:
    """Otherwise an old call would prove a newer verification."""
    at, _ = instant(wall(NOW - seconds(ago), 10800), NOW - seconds(85), NOW, None)
    assert at is None


def test_a_record_without_a_time_proves_nothing() -> None:
    assert instant(None, NOW - seconds(85), NOW, 10800) == (None, 10800)
    assert instant(NOW.replace(tzinfo=None), NOW - seconds(85), NOW, 0)[0] == datetime(
        2026, 1, 1, 12, tzinfo=UTC
    )


DIALLED, TEXTED, ABROAD = E164("+79585551234"), E164("+79585550001"), E164("+77015550001")


def test_a_look_at_the_inbox_masks_the_numbers_of_what_looks_like_a_call() -> None:
    records = [
        InboxRecord(1, None, None, None, message="no caller"),
        InboxRecord(2, NUMBER.value, DIALLED.value, None, message="a call"),
        InboxRecord(3, NUMBER.value, TEXTED.value, None, message="a text"),
        InboxRecord(4, NUMBER.value, ABROAD.value, None, message="abroad"),
        InboxRecord(5, NUMBER.value, None, None, message="nothing dialled"),
        InboxRecord(6, NUMBER.value, "a word", None, message="no number"),
    ]
    found = like_calls(
        records,
        lambda number: number.value.startswith("+7958"),
        [TEXTED],
        lambda caller, text: (caller, text) == (NUMBER.value, "a text"),
    )
    assert {each.caller for each in found} == {mask(NUMBER.value)}
    assert [each.dialled for each in found] == [
        mask(DIALLED.value),
        mask(TEXTED.value),
        mask(ABROAD.value),
        "",
        mask("a word"),
    ]
    assert [each.may_be_shown for each in found] == [True, False, False, False, False]
    assert [each.is_text for each in found] == [False, True, False, False, False]
