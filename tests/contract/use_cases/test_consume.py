"""The main job, and consume."""

from collections import Counter

import pytest

from tests.contract.use_cases.conftest import ASK
from tests.fakes.outside import SHOWN
from tests.making import call_at, together
from waitcall.domain.errors import AlreadyConsumed
from waitcall.domain.matching import Outcome
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification


def test_the_main_job(service, clock, observer) -> None:
    verifications, calls = service
    started = verifications.start("web", ASK)
    assert started.created
    assert (started.verification.status, started.verification.call_number) == (Status.PENDING, SHOWN)
    clock.advance(30)

    assert calls.record(call_at(clock())) is Outcome.CONFIRMED
    read = verifications.get("web", started.verification.id)
    assert (read.status, read.reason) == (Status.VERIFIED, Reason.CALL_MATCHED)
    consumed = verifications.consume("web", read.id, "login", "flow")
    assert consumed.status is Status.CONSUMED

    with pytest.raises(AlreadyConsumed):
        verifications.consume("web", read.id, "login", "flow")
    assert (
        Counter(
            {
                ("started",): 1,
                ("verified",): 1,
                ("callback", "call", "confirmed"): 1,
                ("finished", "consumed", "call_matched"): 1,
                ("limited", "provider", "allow"): 1,
            },
        )
        == observer.counts
    )


def test_a_hundred_simultaneous_consumes_succeed_once(service, clock, observer) -> None:
    verifications, calls = service
    record = verifications.start("web", ASK).verification
    calls.record(call_at(clock()))

    results = together(100, lambda _: verifications.consume("web", record.id, "login", "flow"))

    assert len([result for result in results if isinstance(result, Verification)]) == 1
    assert len([result for result in results if isinstance(result, AlreadyConsumed)]) == 99
    assert observer.counts["finished", "consumed", "call_matched"] == 1
