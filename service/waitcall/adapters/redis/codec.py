"""Conversion between a verification and the stored JSON document, which carries a schema number.

Each write carries a fresh ``rev``, so no two documents are equal. A script that is sent again, because its answer was
lost, can thus recognize its own earlier write.
"""

import random
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from waitcall.domain.channel import Assurance, Attestation, Channel, Provider, ProviderOrder, TextIn
from waitcall.domain.code import Code, CodeDelivery
from waitcall.domain.numbers import E164
from waitcall.domain.policy import FixedOutcome, OnConcurrent, Purpose
from waitcall.domain.status import Reason, Status
from waitcall.domain.verification import Requester, Verification

CALLS = 2
"""Schema of a record that a call alone verifies. Fields without a value, and rules at their default, are left out."""
SCHEMA = 3
"""Schema of a record with other channels, steps or orders. Older versions refuse it; they would let any call verify it."""
TESTS = 4
"""Schema of a record of a test number. Older versions refuse it; they would let a real call verify it, and not tell."""
OWN_NUMBERS = 5
"""Schema of a record that showed one of our own numbers. Older versions refuse it; they would let any call verify it."""
_READABLE = (1, CALLS, SCHEMA, TESTS, OWN_NUMBERS)

_OF_THE_WAY = ("channels", "second_step", "max_attempts", "max_sends", "resend_seconds")


class UnknownSchema(Exception):
    """The document was written by a version of the service with another schema."""


def fresh_name() -> str:
    """Return a random name for one write, 64 bits as hexadecimal digits. It is not a secret."""
    return f"{random.getrandbits(64):016x}"  # nosec B311  # only distinguishes writes, not a secret


def encode(record: Verification) -> bytes:
    """Return the document to store for a record. Each call returns a different one."""
    document = {
        "schema": _schema_of(record),
        "rev": fresh_name(),
        "id": record.id,
        "client": record.requester.client,
        "purpose": record.requester.purpose,
        "reference": record.requester.reference,
        "phone_number": record.phone_number.value,
        "region": record.region,
        "status": record.status,
        "reason": record.reason,
        "window_seconds": record.window_seconds,
        "rules": _rules(record.rules),
        "way": _way(record.rules),
        "created_at": _seconds(record.created_at),
        "expires_at": _seconds(record.expires_at),
        "purge_at": _seconds(record.purge_at),
        "locale": record.locale,
        "metadata": record.metadata,
        "call_number": record.call_number.value if record.call_number else None,
        "verified_at": _seconds(record.verified_at),
        "consumed_at": _seconds(record.consumed_at),
        "cooling_until": _seconds(record.cooling_until),
        "assurance": record.assurance,
        "contested_at": _seconds(record.contested_at),
        "consumed_by": record.consumed_by,
        "dialled": record.dialled.value if record.dialled else None,
        "paid_by": record.paid_by,
    }
    if document["schema"] != CALLS:
        document |= _channels(record)
    told = {name: value for name, value in document.items() if value is not None}
    return orjson.dumps(told)


def decode(document: bytes) -> Verification:
    """Return the record that a document holds.

    Raises:
        UnknownSchema: a newer version of the service wrote it. During an upgrade another replica can read it.
        Exception: the document is malformed in any other way.
    """
    stored: dict[str, Any] = orjson.loads(document)
    if stored["schema"] not in _READABLE:
        raise UnknownSchema(f"schema {stored['schema']}, this version reads {OWN_NUMBERS}")
    told = stored.get
    reason, call_number, dialled = told("reason"), told("call_number"), told("dialled")
    order = ProviderOrder(**stored["order"]) if told("order") else None
    return Verification(
        id=stored["id"],
        requester=Requester(stored["client"], stored["purpose"], told("reference")),
        phone_number=E164(stored["phone_number"]),
        region=stored["region"],
        status=Status(stored["status"]),
        reason=Reason(reason) if reason else None,
        window_seconds=stored["window_seconds"],
        rules=_purpose(stored["purpose"], told("rules", {}), told("way", {})),
        created_at=datetime.fromtimestamp(stored["created_at"], UTC),
        expires_at=datetime.fromtimestamp(stored["expires_at"], UTC),
        purge_at=datetime.fromtimestamp(stored["purge_at"], UTC),
        locale=told("locale"),
        metadata=told("metadata"),
        call_number=E164(call_number) if call_number else None,
        verified_at=time_from(told("verified_at")),
        consumed_at=time_from(told("consumed_at")),
        cooling_until=time_from(told("cooling_until")),
        assurance=Assurance(told("assurance", Assurance.ASSERTED)),
        contested_at=time_from(told("contested_at")),
        consumed_by=told("consumed_by"),
        dialled=E164(dialled) if dialled else None,
        paid_by=told("paid_by"),
        channel=Channel(told("channel", Channel.CALL)),
        since=time_from(told("since")),
        text_in=_text_in(told("text_in")),
        code=_code(told("code")),
        called_at=time_from(told("called_at")),
        weak_call_at=time_from(told("weak_call_at")),
        ordering_until=time_from(told("ordering_until")),
        provider=Provider(told("provider") or (order.provider if order else Provider.SMSC)),
        attestation=Attestation(stored["attestation"]) if told("attestation") else None,
        order=order,
        return_url=told("return_url"),
        test=_test(told("test")),
    )


def _schema_of(record: Verification) -> int:
    if record.test is not None:
        return TESTS
    if record.provider is Provider.OWN:
        return OWN_NUMBERS
    return CALLS if _is_a_plain_call(record) else SCHEMA


def _is_a_plain_call(record: Verification) -> bool:
    more = (
        *(record.since, record.text_in, record.code, record.rules.second_step),
        *(record.order, record.return_url, record.weak_call_at),
    )
    return record.channel is Channel.CALL and more == (None,) * len(more)


def _channels(record: Verification) -> dict[str, Any]:
    text_in, code = record.text_in, record.code
    return {
        "channel": record.channel,
        "since": _seconds(record.since),
        "text_in": {"number": text_in.number.value, "text": text_in.text} if text_in else None,
        "code": asdict(code) | {"sent_at": _seconds(code.sent_at)} if code else None,
        "called_at": _seconds(record.called_at),
        "weak_call_at": _seconds(record.weak_call_at),
        "ordering_until": _seconds(record.ordering_until),
        "provider": record.provider if record.provider is Provider.OWN else None,
        "attestation": record.attestation,
        "order": asdict(record.order) if record.order else None,
        "return_url": record.return_url,
        "test": {"status": record.test.status, "delay": record.test.delay_seconds} if record.test else None,
    }


def _test(stored: dict[str, Any] | None) -> FixedOutcome | None:
    return FixedOutcome(Status(stored["status"]), stored["delay"]) if stored else None


def _text_in(stored: dict[str, str] | None) -> TextIn | None:
    return TextIn(E164(stored["number"]), stored["text"]) if stored else None


def _code(stored: dict[str, Any] | None) -> Code | None:
    if stored is None:
        return None
    given = {
        "digests": tuple(stored["digests"]),
        "sent_at": datetime.fromtimestamp(stored["sent_at"], UTC),
        "delivery": CodeDelivery(stored["delivery"]),
    }
    return Code(**stored | given)


@lru_cache(maxsize=256)
def _rules(rules: Purpose) -> dict[str, Any] | None:
    """Return the rules that differ from the defaults, except the purpose's name and the rules that ``_way`` returns."""
    default = asdict(Purpose(rules.name))
    stored = {name: value for name, value in asdict(rules).items() if value != default[name]}
    # Older versions do not know `test_numbers`, and a record has its own fixed outcome.
    for name in (*_OF_THE_WAY, "test_numbers"):
        stored.pop(name, None)
    for name in stored.keys() & {"regions", "number_types"}:
        stored[name] = sorted(stored[name])
    return stored or None


@lru_cache(maxsize=256)
def _way(rules: Purpose) -> dict[str, Any] | None:
    """Return the rules about channels and codes, stored apart so that older versions ignore them."""
    default, given = asdict(Purpose(rules.name)), asdict(rules)
    return {name: given[name] for name in _OF_THE_WAY if given[name] != default[name]} or None


def _purpose(name: str, stored: dict[str, Any], way: dict[str, Any]) -> Purpose:
    rules = {"name": name} | stored | way
    if "min_assurance" in rules:
        rules["min_assurance"] = Assurance(rules["min_assurance"])
    if "on_concurrent" in rules:
        rules["on_concurrent"] = OnConcurrent(rules["on_concurrent"])
    for each in rules.keys() & {"regions", "number_types"}:
        rules[each] = frozenset(rules[each])
    if "channels" in rules:
        rules["channels"] = tuple(Channel(each) for each in rules["channels"])
    if "second_step" in rules:
        rules["second_step"] = Channel(rules["second_step"])
    return Purpose(**rules)


def _seconds(time: datetime | None) -> float | None:
    if time is None:
        return None
    seconds = time.timestamp()
    return int(seconds) if seconds.is_integer() else seconds


def time_from(seconds: float | None) -> datetime | None:
    """Return the time that a document holds in seconds since 1970; None for no time."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
