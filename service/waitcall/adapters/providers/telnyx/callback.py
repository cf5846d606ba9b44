"""Decoder of Telnyx's voice webhooks: Call Control (JSON) and TeXML (form), signed with Ed25519.

Source: docs/own-numbers.md. The signature covers the time of sending and the raw body.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from waitcall.adapters.providers.callback_form import FormUnreadable, read_parameters
from waitcall.adapters.strict_json import JsonUnreadable, RepeatedName, read_object
from waitcall.domain.channel import Attestation, Provider
from waitcall.domain.errors import CallbackMalformed, CallbackRejected
from waitcall.domain.matching import InboundCall, Kind, OtherMessage, Outcome, ParkedCall
from waitcall.domain.numbers import caller_of

Message = InboundCall | OtherMessage

TOLERANCE_SECONDS = 300
"""Largest difference between the time of sending and ours, both ways."""

_SIGNATURE_BYTES = 64
_SIGNATURE_CHARACTERS = 88
_TIMESTAMP = re.compile(r"[0-9]{1,10}", re.ASCII)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_NAME = re.compile(r"[!-~]{1,256}", re.ASCII)
_LEVELS = {"A": Attestation.FULL, "B": Attestation.PARTIAL, "C": Attestation.GATEWAY}
_OTHER, _UNMATCHED, _MALFORMED = (
    OtherMessage(Kind.CALL, each) for each in (Outcome.OTHER, Outcome.UNMATCHED, Outcome.MALFORMED)
)


class TelnyxCallbackDecoder:
    """Decoder that checks time and signature, then reads the call."""

    def __init__(self, public_keys: Sequence[bytes], clock: Callable[[], datetime]) -> None:
        """
        Args:
            public_keys: the account's key, then the next one while the key rotates; 32 bytes each.
            clock: current time (UTC).

        Raises:
            ValueError: no key is given, so no signature could be checked.
        """
        if not public_keys:
            raise ValueError("A public key is required.")
        self._keys = [Ed25519PublicKey.from_public_bytes(each) for each in public_keys]
        self._clock = clock

    def decode_event(self, body: bytes, signature: str, timestamp: str) -> tuple[Message, ParkedCall | None]:
        """Read one event of Call Control.

        Only ``call.initiated`` of an incoming call matters. What cannot be read in an authentic event is acknowledged,
        because Telnyx would only send it again.

        Args:
            body: the raw body, JSON.
            signature: the header ``telnyx-signature-ed25519``; empty if it is missing.
            timestamp: the header ``telnyx-timestamp``; empty if it is missing.

        Returns:
            The message, and the call that rings until it is refused by a command.

        Raises:
            CallbackMalformed: the body is not a JSON object.
            CallbackRejected: the signature is wrong or missing, or the time is too far from ours.
        """
        sent = self._checked(body, signature, timestamp)
        try:
            data = read_object(body).get("data")
        except JsonUnreadable as error:
            raise CallbackMalformed("The body is not a JSON object.", Kind.CALL) from error
        except RepeatedName:
            return _MALFORMED, None
        payload = data.get("payload") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(payload, dict):
            return _MALFORMED, None
        if data.get("event_type") != "call.initiated" or payload.get("direction") != "incoming":
            return _OTHER, None
        control_id, event_id = _name(payload.get("call_control_id")), _name(data.get("id"))
        parked = ParkedCall(control_id, event_id) if control_id and event_id else None
        return _event(data, payload, sent), parked

    def decode_form(self, body: bytes, signature: str, timestamp: str) -> Message:
        """Read one request of TeXML.

        Args:
            body: the raw body, an urlencoded form.
            signature: as for an event.
            timestamp: as for an event. It is the time of the call.

        Raises:
            CallbackMalformed: the body is not a form, or a parameter appears twice or is missing.
            CallbackRejected: the signature is wrong or missing, or the time is too far from ours.
        """
        sent = self._checked(body, signature, timestamp)
        try:
            given = read_parameters(body)
        except FormUnreadable as error:
            raise CallbackMalformed(str(error), Kind.CALL) from error
        if any(name not in given for name in ("CallStatus", "From", "To")) or not _name(given.get("CallSid")):
            raise CallbackMalformed("CallSid, CallStatus, From and To are expected.", Kind.CALL)
        if given["CallStatus"] != "ringing" or given.get("Direction", "inbound") != "inbound":
            return _OTHER
        level, validated = given.get("ShakenStirAttestation", ""), given.get("ShakenStirValidated") == "true"
        names = [name.lower() for name, value in given.items() if value]
        diverted = any(
            name == "forwardedfrom" or name.endswith(("diversion", "history-info")) for name in names
        )
        return _call(
            (given["From"], given["To"]),
            given["CallSid"],
            sent,
            _level(level, is_valid=validated),
            diverted=diverted,
        )

    def _checked(self, body: bytes, signature: str, timestamp: str) -> datetime:
        """Return the time at which a request was sent. Raises CallbackRejected."""
        if not _TIMESTAMP.fullmatch(timestamp) or len(signature) != _SIGNATURE_CHARACTERS:
            raise CallbackRejected(Kind.CALL)
        if abs(int(self._clock().timestamp()) - int(timestamp)) > TOLERANCE_SECONDS:
            raise CallbackRejected(Kind.CALL)
        try:
            claimed = b64decode(signature, validate=True)
        except ValueError as error:
            raise CallbackRejected(Kind.CALL) from error
        signed = timestamp.encode() + b"|" + body
        if len(claimed) != _SIGNATURE_BYTES or not any(_verifies(key, claimed, signed) for key in self._keys):
            raise CallbackRejected(Kind.CALL)
        return datetime.fromtimestamp(int(timestamp), UTC)


def _verifies(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _event(data: Mapping[str, Any], payload: Mapping[str, Any], sent: datetime) -> Message:
    caller, dialled = payload.get("from"), payload.get("to")
    session = _name(payload.get("call_session_id"))
    if not isinstance(caller, str) or not isinstance(dialled, str) or not session:
        return _MALFORMED
    if payload.get("calling_party_type", "pstn") != "pstn":
        # Anybody may call a SIP address of the account under any name.
        return _UNMATCHED
    level, validated = payload.get("shaken_stir_attestation"), payload.get("shaken_stir_validated")
    at = _time(data["occurred_at"]) if data.get("occurred_at") is not None else sent
    if at is None or (at - sent).total_seconds() > TOLERANCE_SECONDS:
        return _MALFORMED
    return _call(
        (caller, dialled), session, at, _level(level, is_valid=validated is True), diverted=_diverted(payload)
    )


def _call(
    parties: tuple[str, str], call_id: str, at: datetime, attestation: Attestation, *, diverted: bool
) -> Message:
    caller, dialled = caller_of(parties[0]), parties[1]
    if caller is None or not _E164.fullmatch(dialled):
        return _UNMATCHED
    return InboundCall(
        cli=caller,
        at=at,
        dialled=dialled,
        provider=Provider.OWN,
        id=call_id,
        attestation=attestation,
        diverted=diverted,
    )


def _name(value: object) -> str:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""


def _level(letter: object, *, is_valid: bool) -> Attestation:
    if not is_valid or not isinstance(letter, str):
        return Attestation.NONE
    return _LEVELS.get(letter.upper(), Attestation.NONE)


def _time(text: object) -> datetime | None:
    """Return the time that an event names, in whole seconds; None if it names none."""
    if isinstance(text, str) and _TIME.fullmatch(text):
        with suppress(ValueError, OverflowError):
            return datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0)
    return None


def _diverted(payload: Mapping[str, Any]) -> bool:
    """Tell whether the SIP headers of a call say that it was forwarded."""
    entries = 0
    for kind in ("sip_headers", "custom_headers"):
        headers = payload.get(kind) or []
        if not isinstance(headers, list) or not all(isinstance(each, dict) for each in headers):
            # They may say that the call was forwarded.
            return True
        for each in headers:
            name, value = each.get("name"), each.get("value")
            match str(name).strip().lower():
                case "diversion":
                    return True
                case "history-info":
                    entries += 1 + str(value).count(",")
                case _:
                    pass
    return entries > 1
