"""A look at the provider's inbox for ``waitcall doctor``: which records look like calls, and how much they say."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from service.application.inbox import InboxRecord
from service.domain.errors import InvalidPhoneNumber
from service.domain.numbers import E164, mask


@dataclass(frozen=True, slots=True)
class LikeACall:
    """One record that looks like a call, with masked numbers.

    Attributes:
        dialled: empty where the record names none.
        may_be_shown: it names a number that may be shown and receives no texts.
        is_text: the handler got a text of the same sender and words.
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
    """Pick the records that look like calls, in order."""

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
