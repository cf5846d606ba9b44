"""Numbers of the operator's own: calls to them are reported as Twilio, Telnyx and the SIP proxy in ``sip/`` do.

Source: docs/own-numbers.md. The delivery facts that it marks as unknown are choices: Telnyx asks three times.
"""

import base64
import hashlib
import hmac
import json
import secrets
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulator.dialler import exchange

DIALECTS = ("twilio", "telnyx", "texml", "sip")
LEVELS = ("A", "B", "C")
TELNYX_ATTEMPTS = 3
SIP_ATTEMPTS = 5
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Trunk:
    """Numbers of one dialect, and where their calls are reported.

    Attributes:
        dialect: ``twilio``, ``telnyx`` (Call Control), ``texml`` (Telnyx) or ``sip``.
        numbers: their digits.
        handler: URL that gets the reports.
        secret: what the reports are signed with: Twilio's auth token, the SIP proxy's secret, or the seed of Telnyx' private key
            (32 bytes in base64).
        account: Twilio's AccountSid; empty for the others.
        fallback: second URL for what the first does not take; none if empty.
    """

    dialect: str
    numbers: tuple[str, ...]
    handler: str
    secret: str = field(repr=False)
    account: str = ""
    fallback: str = ""

    @classmethod
    def parse(cls, text: str) -> "Trunk":
        """Read ``DIALECT;NUMBER,NUMBER;URL;SECRET[;ACCOUNT[;FALLBACK]]``. Raises ValueError."""
        dialect, numbers, handler, *more = text.split(";")
        digits = tuple(each.strip().lstrip("+") for each in numbers.split(","))
        if dialect not in DIALECTS or not all(each.isdecimal() for each in digits) or not more:
            raise ValueError(
                "Must be DIALECT;NUMBERS;URL;SECRET, for instance sip;+74951234567;http://127.0.0.1:8081/…;secret."
            )
        return cls(dialect, digits, handler, *more)


@dataclass(frozen=True)
class Call:
    """Call of a subscriber. ``level``: that of the carrier's signature; empty for none. ``at``: epoch seconds."""

    cli: str
    did: str
    at: float
    level: str = ""
    withheld: bool = False
    forwarded_from: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(16))


def report(trunk: Trunk, call: Call) -> tuple[str, list[dict[str, Any]]]:
    """Report a call as its carrier does, again where the carrier does.

    Returns:
        The sound that the caller hears: ``busy``, or ``answered`` if the handler does not refuse the call, which costs money. With it
        the ledger entries.
    """
    request_to, attempts = _WAYS[trunk.dialect](trunk, call)
    entries: list[dict[str, Any]] = []
    for url in filter(None, (*([trunk.handler] * attempts), trunk.fallback)):
        request = request_to(url)
        status, answer = exchange(request)
        body = request.data.decode() if isinstance(request.data, bytes) else ""
        entries.append(
            {
                "door": "callback",
                "kind": trunk.dialect,
                "method": "POST",
                "url": url,
                "body": body,
                "status": status,
                "answer": answer,
            }
        )
        if status is not None and (status < 300 or (trunk.dialect == "sip" and 400 <= status < 500)):
            break
    last = entries[-1]
    refused = trunk.dialect in ("sip", "telnyx") or str(last["answer"]).find("<Response><Reject") >= 0
    return ("busy" if refused and (last["status"] or 500) < 300 else _UNTOLD[trunk.dialect]), entries


_UNTOLD = {"twilio": "answered", "texml": "answered", "telnyx": "ringing", "sip": "busy"}
"""Sound that the caller hears if no report was taken. The SIP proxy refuses the call before it reports it."""

Request = urllib.request.Request
Way = Callable[[Trunk, Call], tuple[Callable[[str], Request], int]]


def _post(body: bytes, headers: Mapping[str, str], url: str) -> Request:
    return Request(url, data=body, headers=dict(headers), method="POST")


def twilio_signature(token: str, url: str, fields: Mapping[str, str]) -> str:
    """Sign a form as Twilio does: HMAC-SHA1 over the URL and the sorted fields, without separators."""
    text = url + "".join(f"{name}{value}" for name, value in sorted(fields.items()))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


def _twilio(trunk: Trunk, call: Call) -> tuple[Callable[[str], Request], int]:
    caller = "+266696687" if call.withheld else f"+{call.cli}"
    fields = {
        "AccountSid": trunk.account,
        "ApiVersion": "2010-04-01",
        "CallSid": f"CA{call.id}",
        "CallStatus": "ringing",
        "Called": f"+{call.did}",
        "Caller": caller,
        "Direction": "inbound",
        "From": caller,
        "FromCity": "",
        "FromCountry": "",
        "To": f"+{call.did}",
        "ToCity": "",
    }
    if call.level:
        fields["StirVerstat"] = f"TN-Validation-Passed-{call.level}"
    if call.forwarded_from:
        fields["ForwardedFrom"] = call.forwarded_from

    def request_to(url: str) -> Request:
        signature = twilio_signature(trunk.secret, url, fields)
        return _post(urlencode(fields).encode(), _FORM | {"X-Twilio-Signature": signature}, url)

    # A connection that fails is tried once more; what was answered is not.
    return request_to, 1


def telnyx_headers(seed: str, body: bytes, at: float) -> dict[str, str]:
    """Sign a body as Telnyx does: Ed25519 over the time and the body."""
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed))
    signature = key.sign(f"{int(at)}|".encode() + body)
    return {
        "telnyx-timestamp": str(int(at)),
        "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
    }


def _telnyx(trunk: Trunk, call: Call) -> tuple[Callable[[str], Request], int]:
    payload: dict[str, Any] = {
        "call_control_id": f"v3:{call.id}",
        "call_leg_id": call.id,
        "call_session_id": call.id,
        "connection_id": "1",
        "direction": "incoming",
        "from": "anonymous" if call.withheld else f"+{call.cli}",
        "state": "parked",
        "to": f"+{call.did}",
    }
    if call.level:
        payload |= {"shaken_stir_attestation": call.level, "shaken_stir_validated": True}
    if call.forwarded_from:
        payload["sip_headers"] = [{"name": "Diversion", "value": f"<sip:{call.forwarded_from}@carrier>"}]
    at = datetime.fromtimestamp(call.at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    event = {
        "event_type": "call.initiated",
        "id": call.id,
        "occurred_at": at,
        "payload": payload,
        "record_type": "event",
    }
    body = json.dumps({"data": event, "meta": {"attempt": 1}}).encode()
    return partial(_post, body, _JSON | telnyx_headers(trunk.secret, body, call.at)), TELNYX_ATTEMPTS


def _texml(trunk: Trunk, call: Call) -> tuple[Callable[[str], Request], int]:
    fields = {
        "AccountSid": "a1",
        "CallSid": f"v3:{call.id}",
        "CallStatus": "ringing",
        "From": "anonymous" if call.withheld else f"+{call.cli}",
        "To": f"+{call.did}",
    }
    if call.level:
        fields |= {"ShakenStirAttestation": call.level, "ShakenStirValidated": "true"}
    body = urlencode(fields).encode()
    return partial(_post, body, _FORM | telnyx_headers(trunk.secret, body, call.at)), TELNYX_ATTEMPTS


def _sip(trunk: Trunk, call: Call) -> tuple[Callable[[str], Request], int]:
    event = {
        "call_id": f"{call.id}@handset",
        "nonce": secrets.token_urlsafe(16),
        "ts": int(call.at),
        "caller": "" if call.withheld else f"+{call.cli}",
        "dialled": f"+{call.did}",
        "to": f"+{call.did}",
        "private": call.withheld,
        "diverted": bool(call.forwarded_from),
        "attestation": call.level,
    }
    body = json.dumps(event, separators=(",", ":")).encode()
    digest = hmac.new(trunk.secret.encode(), body, hashlib.sha256).digest()
    signature = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return partial(_post, body, _JSON | {"X-Waitcall-Signature": signature}), SIP_ATTEMPTS


_WAYS: dict[str, Way] = {"twilio": _twilio, "telnyx": _telnyx, "texml": _texml, "sip": _sip}
