"""Decoder of the SIP proxy's callbacks: JSON of our own, accepted only with the right HMAC over the raw body.

Source: docs/own-numbers.md. The proxy sends a callback again, byte for byte, until it is answered, so the time inside the
signature is that of the call, and it is compared with the longest window of a verification.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from waitcall.adapters.strict_json import JsonUnreadable, RepeatedName, read_object
from waitcall.domain.channel import Attestation, Provider
from waitcall.domain.errors import CallbackInvalid, CallbackRejected
from waitcall.domain.matching import InboundCall, Kind, OtherMessage, Outcome
from waitcall.domain.numbers import caller_of

OLDEST_SECONDS = 900
"""Age above which a call is refused: no verification waits longer."""

FUTURE_SECONDS = 5
"""Largest difference by which the proxy's clock may be ahead of our clock."""

_MEMBERS: Mapping[str, type] = {
    "call_id": str,
    "nonce": str,
    "ts": int,
    "caller": str,
    "dialled": str,
    "to": str,
    "private": bool,
    "diverted": bool,
    "attestation": str,
}
_CALL_ID = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,1000}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_DIALLED = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_LEVELS = {
    "A": Attestation.FULL,
    "B": Attestation.PARTIAL,
    "C": Attestation.GATEWAY,
    "": Attestation.NONE,
}
_UNMATCHED = OtherMessage(Kind.CALL, Outcome.UNMATCHED)


def signature_of(secret: bytes, body: bytes) -> bytes:
    """Return the header ``X-Waitcall-Signature`` for a raw body."""
    return urlsafe_b64encode(hmac.digest(secret, body, sha256)).rstrip(b"=")


class SipCallbackDecoder:
    """Decoder that checks the signature in constant time, then the schema and the age."""

    def __init__(self, secrets: Sequence[str], clock: Callable[[], datetime]) -> None:
        """
        Args:
            secrets: the current secret, then the previous one while the secret rotates.
            clock: current time (UTC).

        Raises:
            ValueError: no secret is given, so no signature could be checked.
        """
        if not secrets:
            raise ValueError("A secret is required.")
        self._secrets = [each.encode() for each in secrets]
        self._clock = clock

    def decode(self, body: bytes, signature: str) -> InboundCall | OtherMessage:
        """Read one request.

        Args:
            body: the raw body, JSON.
            signature: the header ``X-Waitcall-Signature``, base64url without padding; empty if it is missing.

        Raises:
            CallbackInvalid: the body is not exactly the expected object, or the call is too old or in the future.
            CallbackRejected: the signature is wrong or missing.
        """
        if not self._authentic(body, signature):
            raise CallbackRejected(Kind.CALL)
        try:
            given = read_object(body)
        except (JsonUnreadable, RepeatedName) as error:
            raise CallbackInvalid(
                "The body must be one JSON object without repeated names.", Kind.CALL
            ) from error
        _check(given)
        age = int(self._clock().timestamp()) - given["ts"]
        if not -FUTURE_SECONDS <= age <= OLDEST_SECONDS:
            raise CallbackInvalid("The call is too old, or in the future.", Kind.CALL)
        caller, dialled = caller_of(given["caller"]), _DIALLED.fullmatch(given["dialled"])
        if given["private"] or caller is None or dialled is None:
            return _UNMATCHED
        return InboundCall(
            cli=caller,
            at=datetime.fromtimestamp(given["ts"], UTC),
            dialled=given["dialled"],
            provider=Provider.OWN,
            id=given["call_id"],
            attestation=_LEVELS[given["attestation"]],
            diverted=given["diverted"],
        )

    def _authentic(self, body: bytes, signature: str) -> bool:
        claimed, accepted = signature.encode("latin-1", "replace"), False
        for secret in self._secrets:
            accepted |= hmac.compare_digest(signature_of(secret, body), claimed)
        return accepted


def _check(given: Mapping[str, Any]) -> None:
    """Check names, types and forms of all members. Raises CallbackInvalid."""
    if given.keys() != _MEMBERS.keys():
        raise CallbackInvalid(f"Exactly these members are expected: {', '.join(_MEMBERS)}.", Kind.CALL)
    # A boolean is an int in Python, but not in JSON.
    wrong = [name for name, kind in _MEMBERS.items() if type(given[name]) is not kind]
    if not wrong:
        forms = {
            "call_id": _CALL_ID.fullmatch(given["call_id"]),
            "nonce": _NONCE.fullmatch(given["nonce"]),
            "attestation": given["attestation"] in _LEVELS,
        }
        wrong = [name for name, fits in forms.items() if not fits]
    if wrong:
        raise CallbackInvalid(f"Not of the expected form: {', '.join(wrong)}.", Kind.CALL)
