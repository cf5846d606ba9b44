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

SCHEMA = 1


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
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def decode(document: bytes) -> Verification:
    """The record that was stored.

    Raises:
        UnknownSchema: while versions are mixed, another replica can read it.
    """
    stored: dict[str, Any] = json.loads(document)
    if stored["schema"] != SCHEMA:
        raise UnknownSchema(f"schema {stored['schema']}, this version reads {SCHEMA}")
    rules = stored["rules"]
    return Verification(
        id=stored["id"],
        requester=Requester(stored["client"], stored["purpose"], stored["reference"]),
        phone_number=E164(stored["phone_number"]),
        region=stored["region"],
        status=Status(stored["status"]),
        reason=Reason(stored["reason"]) if stored["reason"] else None,
        window_seconds=stored["window_seconds"],
        rules=Purpose(
            **rules
            | {
                "on_concurrent": OnConcurrent(rules["on_concurrent"]),
                "regions": frozenset(rules["regions"]),
                "number_types": frozenset(rules["number_types"]),
            },
        ),
        created_at=datetime.fromtimestamp(stored["created_at"], UTC),
        expires_at=datetime.fromtimestamp(stored["expires_at"], UTC),
        purge_at=datetime.fromtimestamp(stored["purge_at"], UTC),
        locale=stored["locale"],
        metadata=stored["metadata"],
        call_number=E164(stored["call_number"]) if stored["call_number"] else None,
        verified_at=_time(stored["verified_at"]),
        consumed_at=_time(stored["consumed_at"]),
        cooling_until=_time(stored["cooling_until"]),
        # Records of the first version carry none.
        assurance=Assurance(stored.get("assurance", Assurance.ASSERTED)),
        contested_at=_time(stored.get("contested_at")),
        consumed_by=stored.get("consumed_by"),
        dialled=E164(stored["dialled"]) if stored.get("dialled") else None,
    )


@lru_cache(maxsize=256)
def _rules(rules: Purpose) -> dict[str, Any]:
    """What create alone asks, and what is left at its default, is not stored: older replicas could not read it."""
    stored = asdict(rules)
    del stored["min_assurance"]
    if not rules.match_dialled:
        del stored["match_dialled"]
    return stored | {"regions": sorted(rules.regions), "number_types": sorted(rules.number_types)}


def _seconds(time: datetime | None) -> float | None:
    return None if time is None else time.timestamp()


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
