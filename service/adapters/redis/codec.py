"""Verification ⇄ the stored document, with a schema number.

Each write carries a fresh ``rev``. Two writes are never equal, so a script that is sent again after its
answer was lost can tell its own work from another's.
"""

import json
import secrets
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from service.domain.assurance import Assurance
from service.domain.numbers import E164
from service.domain.policy import OnConcurrent, Purpose
from service.domain.requester import Requester
from service.domain.status import Reason, Status
from service.domain.verification import Verification

SCHEMA = 2
"""2 leaves out what says nothing: fields without a value, rules at their default."""
_READABLE = (1, SCHEMA)

_to_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class UnknownSchema(Exception):
    """A document that another version of the service wrote."""


def encode(record: Verification) -> bytes:
    """The document to store; unique to this write."""
    document = {
        "schema": SCHEMA,
        "rev": secrets.token_hex(8),
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
    }
    told = {name: value for name, value in document.items() if value is not None}
    return _to_text(told).encode()


def decode(document: bytes) -> Verification:
    """The record that was stored.

    Raises:
        UnknownSchema: while versions are mixed, another replica can read it.
    """
    stored: dict[str, Any] = json.loads(document)
    if stored["schema"] not in _READABLE:
        raise UnknownSchema(f"schema {stored['schema']}, this version reads {SCHEMA}")
    told = stored.get
    reason, call_number, dialled = told("reason"), told("call_number"), told("dialled")
    return Verification(
        id=stored["id"],
        requester=Requester(stored["client"], stored["purpose"], told("reference")),
        phone_number=E164(stored["phone_number"]),
        region=stored["region"],
        status=Status(stored["status"]),
        reason=Reason(reason) if reason else None,
        window_seconds=stored["window_seconds"],
        rules=_purpose(stored["purpose"], told("rules", {})),
        created_at=datetime.fromtimestamp(stored["created_at"], UTC),
        expires_at=datetime.fromtimestamp(stored["expires_at"], UTC),
        purge_at=datetime.fromtimestamp(stored["purge_at"], UTC),
        locale=told("locale"),
        metadata=told("metadata"),
        call_number=E164(call_number) if call_number else None,
        verified_at=_time(told("verified_at")),
        consumed_at=_time(told("consumed_at")),
        cooling_until=_time(told("cooling_until")),
        assurance=Assurance(told("assurance", Assurance.ASSERTED)),
        contested_at=_time(told("contested_at")),
        consumed_by=told("consumed_by"),
        dialled=E164(dialled) if dialled else None,
    )


@lru_cache(maxsize=256)
def _rules(rules: Purpose) -> dict[str, Any] | None:
    """What differs from the defaults, but for the name, which is the purpose's, and for what create alone asks."""
    default = asdict(Purpose(rules.name))
    stored = {name: value for name, value in asdict(rules).items() if value != default[name]}
    stored.pop("min_assurance", None)
    for name in stored.keys() & {"regions", "number_types"}:
        stored[name] = sorted(stored[name])
    return stored or None


def _purpose(name: str, stored: dict[str, Any]) -> Purpose:
    rules = {"name": name} | stored
    if "on_concurrent" in rules:
        rules["on_concurrent"] = OnConcurrent(rules["on_concurrent"])
    for each in rules.keys() & {"regions", "number_types"}:
        rules[each] = frozenset(rules[each])
    return Purpose(**rules)


def _seconds(time: datetime | None) -> float | None:
    if time is None:
        return None
    seconds = time.timestamp()
    return int(seconds) if seconds.is_integer() else seconds


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
