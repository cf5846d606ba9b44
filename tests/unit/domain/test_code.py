"""Codes: their keyed hashes, the delay between messages, and the state of their delivery."""

from datetime import timedelta

import pytest

from tests.making import NOW, NUMBER
from waitcall.domain.code import Code, CodeDelivery, CodeSeals, DeliveryReport

OLD, NEW = "an-old-pepper-that-is-long-enough-for-it", "a-new-pepper-that-is-long-enough-for-it"
SEALS = CodeSeals(OLD)


def sent(*codes: str, **more: object) -> Code:
    return Code(tuple(SEALS.seal("ver_1", each) for each in codes), NOW, 7, **more)


def test_a_seal_differs_by_verification_code_and_pepper() -> None:
    seals = {
        SEALS.seal("ver_1", "012345"),
        SEALS.seal("ver_2", "012345"),
        SEALS.seal("ver_1", "012346"),
        CodeSeals(NEW).seal("ver_1", "012345"),
    }
    assert len(seals) == 4
    assert all(len(each) == 32 and "012345" not in each for each in seals)


def test_a_code_outlives_the_rotation_of_its_pepper() -> None:
    code = sent("012345")
    for peppers in ((OLD,), (OLD, NEW), (NEW, OLD)):
        assert code.matches(CodeSeals(*peppers).seals("ver_1", "012345"))
        assert not code.matches(CodeSeals(*peppers).seals("ver_1", "012346"))
    assert not code.matches(CodeSeals(NEW).seals("ver_1", "012345"))


def test_every_code_that_was_sent_counts() -> None:
    code = sent("111111").again(SEALS.seal("ver_1", "222222"), 8, NOW)
    assert code.matches(SEALS.seals("ver_1", "111111"))
    assert code.matches(SEALS.seals("ver_1", "222222"))
    assert not code.matches(SEALS.seals("ver_1", "333333"))


def test_a_new_message_keeps_the_attempts_and_resets_the_delivery() -> None:
    before = sent("111111", attempts=3, delivery=CodeDelivery.FAILED, delivery_reason="barred", refused=True)
    after = before.again("x" * 32, 8, NOW)
    assert (after.attempts, after.delivery, after.delivery_reason, after.refused, after.message_id) == (
        3,
        CodeDelivery.QUEUED,
        None,
        False,
        8,
    )


@pytest.mark.parametrize(("messages", "seconds"), [(1, 30), (2, 60), (3, 120), (4, 240)])
def test_the_delay_doubles_with_each_message(messages: int, seconds: int) -> None:
    code = sent(*(f"{each:06}" for each in range(messages)))
    assert code.resend_in(30, NOW) == seconds
    assert code.resend_in(30, NOW + timedelta(seconds=seconds - 0.5)) == 1
    assert code.resend_in(30, NOW + timedelta(seconds=seconds)) == 0
    assert code.turned_down("provider_error").resend_in(30, NOW) == 0


def test_only_the_latest_message_is_reported_on_and_delivered_is_final() -> None:
    def report(message_id: int, delivery: CodeDelivery, reason: str | None = None) -> DeliveryReport:
        return DeliveryReport(message_id, NUMBER.value, delivery, reason)

    code = sent("111111")
    assert code.reported(report(6, CodeDelivery.DELIVERED)) == code
    failed = code.reported(report(7, CodeDelivery.FAILED, "expired"))
    assert (failed.delivery, failed.delivery_reason) == (CodeDelivery.FAILED, "expired")
    delivered = failed.reported(report(7, CodeDelivery.DELIVERED))
    assert (delivered.delivery, delivered.delivery_reason) == (CodeDelivery.DELIVERED, None)
    assert delivered.reported(report(7, CodeDelivery.FAILED, "expired")) == delivered
