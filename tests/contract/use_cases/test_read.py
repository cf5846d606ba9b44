"""Read and long poll."""

import threading
from collections import Counter

import pytest

from tests.contract.use_cases.conftest import ASK
from tests.making import call_at, together
from waitcall.domain.errors import NotFound
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification


def test_a_hundred_readers_of_an_expiry_count_it_once(service, clock, observer) -> None:
    verifications, _ = service
    record = verifications.start("web", ASK).verification
    clock.advance(900)

    results = together(100, lambda _: verifications.get("web", record.id).status)

    assert Counter({Status.EXPIRED: 100}) == Counter(results)
    assert observer.counts["finished", "expired", "no_call"] == 1


def test_another_clients_verification_does_not_exist(service) -> None:
    verifications, _ = service
    record = verifications.start("web", ASK).verification

    for act in (
        lambda: verifications.get("app", record.id),
        lambda: verifications.consume("app", record.id, "login", "flow"),
        lambda: verifications.cancel("app", record.id),
    ):
        with pytest.raises(NotFound):
            act()


def test_a_long_read_sees_the_call(service, clock) -> None:
    verifications, calls = service
    record = verifications.start("web", ASK).verification
    seen: list[Verification] = []
    reader = threading.Thread(target=lambda: seen.append(verifications.get("web", record.id, 30)))
    reader.start()

    calls.record(call_at(clock()))
    reader.join(10)

    assert [read.status for read in seen] == [Status.VERIFIED]
