"""Inspection of the provider's inbox for ``waitcall doctor``: which records look like calls, and what they contain."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from waitcall.application.reconcile_inbox import InboxRecord
from waitcall.domain.errors import InvalidPhoneNumber
from waitcall.domain.numbers import E164, mask


@dataclass(frozen=True, slots=True)
class LikeACall:
    """A record that looks like a call, with masked numbers.

    Attributes:
        caller: the caller's number, masked.
        dialled: the number that was called, masked; empty if the record names none.
        may_be_shown: True if the dialled number may be shown to callers and does not receive texts.
        is_text: True if a callback reported a text with the same sender and words.
    """

    caller: str = field(repr=False)
    dialled: str = field(repr=False)
    may_be_shown: bool
    is_text: bool


def look(
    records: Collection[InboxRecord],
    may_be_dialled: Callable[[E164], bool],
    text_numbers: Collection[E164],
    was_texted_by: Callable[[str, str], bool],
) -> list[LikeACall]:
    """Return the records that look like calls, in their order."""

    def may_be_shown(dialled: str | None) -> bool:
        try:
            number = E164.parse(dialled or "")
        except InvalidPhoneNumber:
            return False
        return may_be_dialled(number) and number not in text_numbers

    return [
        LikeACall(
            mask(each.cli),
            mask(each.dialled) if each.dialled else "",
            may_be_shown(each.dialled),
            was_texted_by(each.cli, each.message),
        )
        for each in records
        if each.cli is not None
    ]
