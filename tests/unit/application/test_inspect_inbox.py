"""A look at the provider's inbox."""

from tests.making import NUMBER
from waitcall.application.inspect_inbox import look
from waitcall.application.reconcile_inbox import InboxRecord
from waitcall.domain.numbers import E164, mask

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
    found = look(
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
