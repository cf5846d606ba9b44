"""Records are read back as they were stored, take few bytes, and can be read if an older version wrote them."""

import json
from dataclasses import replace

import pytest

from tests.making import NOW, call_at, pending, seconds
from waitcall.adapters.redis.codec import UnknownSchema, decode, encode
from waitcall.domain.channel import Assurance, Channel, TextIn
from waitcall.domain.code import Code, CodeDelivery
from waitcall.domain.matching import judge_call
from waitcall.domain.numbers import E164
from waitcall.domain.policy import FixedOutcome, OnConcurrent, Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Verification

RULES = Purpose(
    "login",
    on_concurrent=OnConcurrent.CONTEST,
    result_seconds=120,
    regions=frozenset({"RU", "KZ"}),
    number_types=frozenset({"mobile"}),
    match_dialled=True,
    min_assurance=Assurance.NETWORK,
)
VERIFIED = judge_call(pending(), call_at(NOW), NOW + seconds(1.5), seconds(5))[1]
CHANNELS = Purpose(
    "login",
    channels=(Channel.CALL, Channel.TEXT_IN, Channel.CODE),
    max_attempts=3,
    max_sends=2,
    resend_seconds=9,
)
STEPS = Purpose("login", second_step=Channel.CODE)
SENT = Code(("a" * 32, "b" * 32), NOW, 2147483647, 2, CodeDelivery.FAILED, "expired", refused=True)
MORE = {
    "text in": replace(
        pending(rules=CHANNELS),
        channel=Channel.TEXT_IN,
        text_in=TextIn(E164("+79585550000"), "K7Q4MX2P"),
        call_number=None,
    ),
    "code": replace(pending(rules=CHANNELS), channel=Channel.CODE, since=NOW + seconds(7), code=SENT),
    "back to a call": replace(pending(), since=NOW + seconds(7), ordering_until=NOW + seconds(30)),
    "weak call": pending(rules=RULES).note_weak_call(NOW + seconds(3)),
    "two steps, the first to come": pending(rules=STEPS),
    "two steps, the second to come": judge_call(pending(rules=STEPS), call_at(NOW), NOW, seconds(5))[1],
}
RECORDS = MORE | {
    "pending": pending(),
    "its own rules": pending(rules=RULES),
    "everything given": replace(
        pending(), locale="ru", metadata={"a": "б"}, assurance=Assurance.NETWORK, purge_at=NOW + seconds(0.25)
    ),
    "asked for from an address": replace(pending(), paid_by={"number": "a" * 24, "ip": "b" * 24}),
    "verified": VERIFIED,
    "consumed": VERIFIED.consume("login", "flow", NOW + seconds(2.25), "who"),
    "contested": pending(rules=RULES).contest(NOW),
}

# Document of schema 1, which had every field and every rule.
OLD = (
    b'{"schema":1,"rev":"a7ac9c7cd3bf7118","id":"ver_1","client":"web","purpose":"login","reference":null,'
    b'"phone_number":"+79990000173","region":"RU","status":"pending","reason":null,"window_seconds":900,"rules":{"name":'
    b'"login","max_window_seconds":900,"on_concurrent":"contest","cooldown_seconds":30,"result_seconds":300,'
    b'"retention_seconds":86400,"require_reference":false,"regions":["RU"],"number_types":[]},"created_at":1795454747.0,'
    b'"expires_at":1795455647.0,"purge_at":1795542047.5,"locale":null,"metadata":null,"call_number":"+79585551001",'
    b'"verified_at":null,"consumed_at":null,"cooling_until":null,"assurance":"network","contested_at":null,'
    b'"consumed_by":null,"dialled":null}'
)


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_record_comes_back_as_it_was(record: Verification) -> None:
    assert decode(encode(record)) == record
    assert encode(record) != encode(record)


def test_empty_fields_and_default_rules_are_not_stored() -> None:
    document = json.loads(encode(pending()))

    assert None not in document.values()
    assert "rules" not in document
    assert len(encode(pending())) < 400


def test_an_older_version_can_read_a_call_of_any_purpose() -> None:
    document = json.loads(encode(pending(rules=CHANNELS)))

    assert document["schema"] == 2
    assert "rules" not in document
    assert decode(encode(pending(rules=CHANNELS))).rules == CHANNELS


def test_an_older_document_is_read_and_can_be_written_again() -> None:
    record = decode(OLD)

    assert (record.status, record.reason, record.rules.on_concurrent) == (
        Status.PENDING,
        None,
        OnConcurrent.CONTEST,
    )
    assert record.rules == Purpose("login", on_concurrent=OnConcurrent.CONTEST, regions=frozenset({"RU"}))
    assert record.purge_at.timestamp() == 1795542047.5
    assert decode(encode(record)) == record
    assert decode(encode(record)).cancel(NOW).reason is Reason.BY_CLIENT


def test_a_document_of_a_newer_schema_is_refused() -> None:
    with pytest.raises(UnknownSchema, match="schema 6, this version reads 5"):
        decode(OLD.replace(b'"schema":1', b'"schema":6'))


def test_an_older_version_refuses_a_test_number() -> None:
    """It would let a real call verify the record, and not say that it is a test."""
    record = replace(pending(), test=FixedOutcome(Status.VERIFIED, 5, "000123"))
    document = encode(record)
    assert json.loads(document)["schema"] == 4
    assert b"000123" not in document
    assert decode(document) == replace(record, test=FixedOutcome(Status.VERIFIED, 5))


def test_an_older_version_reads_real_numbers_of_a_purpose_with_test_numbers() -> None:
    document = json.loads(encode(pending(rules=Purpose("login", test_numbers=True))))
    assert document["schema"] == 2
    assert "rules" not in document


def test_only_a_plain_call_is_written_for_older_versions() -> None:
    """An older version would let a call verify any record that it can read."""
    for name, record in RECORDS.items():
        plain = name not in MORE
        assert json.loads(encode(record))["schema"] == (2 if plain else 3), name
