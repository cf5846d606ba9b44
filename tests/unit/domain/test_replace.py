"""Ours does what the standard library's does, and shares nothing with the record it came from."""

import dataclasses
from datetime import timedelta

import pytest

from service.domain.channel import Channel
from service.domain.replace import replace
from service.domain.status import Reason, Status
from service.domain.verification import Verification
from tests.making import NOW, pending

CHANGES = [
    {},
    {"status": Status.EXPIRED, "reason": Reason.NO_CALL},
    {"channel": Channel.CODE, "since": NOW, "expires_at": NOW + timedelta(seconds=60)},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_it_is_the_same_as_the_librarys(changes: dict[str, object]) -> None:
    record = pending()
    changed = replace(record, **changes)  # type: ignore[arg-type]  # any of them

    assert changed == dataclasses.replace(record, **changes)  # type: ignore[arg-type]  # any of them
    assert type(changed) is Verification
    assert changed is not record


def test_the_record_stays_as_it_was_and_neither_can_be_written_to() -> None:
    record = pending()
    before = dataclasses.asdict(record)
    changed = replace(record, status=Status.CANCELED)

    assert dataclasses.asdict(record) == before
    for each in (record, changed):
        with pytest.raises(dataclasses.FrozenInstanceError):
            each.status = Status.VERIFIED  # type: ignore[misc]  # that is the question
