"""A text from the phone verifies once, and only the verification it was made for."""

import pytest

from tests.contract.channels.conftest import OURS, TEXT_IN, Stage
from tests.making import NUMBER, call_at
from waitcall.application.create import CreateCommand
from waitcall.domain.channel import Assurance
from waitcall.domain.errors import VerificationInProgress
from waitcall.domain.matching import Outcome
from waitcall.domain.status import Reason, Status


def test_a_text_from_the_phone_verifies(stage: Stage) -> None:
    record = stage.start("text_in")
    assert (record.status, record.call_number, record.assurance) == (Status.PENDING, None, Assurance.ASSERTED)
    assert record.text_in is not None
    assert record.text_in.number == OURS
    assert record.text_in.uri == f"sms:+79585550000?body={record.text_in.text}"
    stage.clock.advance(20)

    assert stage.text(record) is Outcome.CONFIRMED
    read = stage.now(record)
    assert (read.status, read.reason) == (Status.VERIFIED, Reason.TEXT_MATCHED)
    assert stage.text(record) is Outcome.REPEATED
    assert stage.verifications.consume("web", record.id, "text_in", "flow").status is Status.CONSUMED
    assert stage.observer.counts["verified",] == 1
    assert stage.audited()["verified"] == 1
    assert not stage.provider.orders


@pytest.mark.parametrize("written", [" {} ", "{}.", "«{}»", "lower", "spaced"])
def test_how_a_text_is_written_does_not_matter(stage: Stage, written: str) -> None:
    record = stage.start("text_in")
    text = record.text_in.text if record.text_in else ""
    spelt = {"lower": text.lower(), "spaced": f"{text[:4]} {text[4:]}"}.get(written, written.format(text))

    assert stage.text(record, text=spelt) is Outcome.CONFIRMED


def test_sender_recipient_and_text_must_all_be_right(stage: Stage) -> None:
    record = stage.start("text_in")

    assert stage.text(record, cli="+79991234568") is Outcome.OTHER
    assert stage.text(record, to="+79585550001") is Outcome.UNMATCHED
    assert stage.text(record, text="K7Q4MX2") is Outcome.UNMATCHED
    assert stage.text(record, text="") is Outcome.UNMATCHED
    assert stage.calls.record(call_at(stage.clock())) is Outcome.UNMATCHED
    assert stage.now(record).status is Status.PENDING


def test_a_captured_text_never_verifies_a_later_verification(stage: Stage) -> None:
    first = stage.start("text_in")
    assert stage.text(first) is Outcome.CONFIRMED
    stage.clock.advance(60)
    second = stage.start("text_in")

    assert stage.text(first) is Outcome.UNMATCHED
    assert stage.now(second).status is Status.PENDING


def test_a_contested_text_proves_nothing(stage: Stage) -> None:
    record = stage.start("contested_text")
    with pytest.raises(VerificationInProgress):
        stage.verifications.start("app", CreateCommand(NUMBER.value, "contested_text"))

    assert stage.text(record) is Outcome.CONTESTED
    assert stage.now(record).status is Status.CONTESTED


def test_a_text_of_a_channel_that_was_left_proves_nothing(stage: Stage) -> None:
    record = stage.start("every", TEXT_IN)
    stage.channels.fall_back("web", record.id)

    assert stage.text(record) is Outcome.OTHER
    assert stage.now(record).status is Status.PENDING


def test_a_late_text_is_too_late(stage: Stage) -> None:
    record = stage.start("text_in")
    stage.clock.advance(901)

    assert stage.text(record) is Outcome.LATE
    assert (stage.now(record).status, stage.now(record).reason) == (Status.EXPIRED, Reason.LATE_TEXT)


def test_each_accepted_message_is_counted(stage: Stage) -> None:
    record = stage.start("code")
    stage.clock.advance(30)
    stage.channels.resend("web", record.id)
    assert stage.observer.counts["code_sent",] == 2
