"""Numbers of the operator's own: calls to them are reported as Twilio, Telnyx and the SIP proxy in ``sip/`` do.

Source: docs/own-numbers.md. The delivery facts that are unknown are choices: Telnyx asks three times, a second apart.
"""

import base64
import hashlib
import hmac
import json
import secrets
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from time import sleep
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulator.dialler import exchange

DIALECTS = ("twilio", "telnyx", "texml", "sip")
LEVELS = ("A", "B", "C")
TELNYX_ATTEMPTS = 3
TELNYX_PAUSE_SECONDS = 1.0
TWILIO_RETRIES = 1
"""Repeated requests of a webhook, unless ``rc`` in the URL's fragment says another number."""
ANSWER_SECONDS = 15.0
"""Time that Twilio waits for an answer. The others are given as much."""
SIP_ATTEMPTS = 60
SIP_PAUSE_SECONDS = 1.0
Request = urllib.request.Request
Send = Callable[[Request], tuple[int | None, str]]
Entries = Sequence[Mapping[str, Any]]
_SEND = partial(exchange, seconds=ANSWER_SECONDS)
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
        fallback: second URL for reports that the first does not take; none if empty. The SIP proxy tries both in turn.
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


def report(
    trunk: Trunk,
    call: Call,
    send: Send = _SEND,
    pause: Callable[[float], None] = sleep,
) -> tuple[str, list[dict[str, Any]]]:
    """Report a call as its carrier does, again and at the fallback where the carrier does.

    Args:
        trunk: the numbers of which one is called.
        call: the call.
        send: sends a request, and returns the status and the answer, or None and the error's name.
        pause: waits so many seconds.

    Returns:
        The sound that the caller hears: ``busy``, or ``answered`` if the handler does not refuse the call, which costs money. With it
        the ledger entries.
    """
    request_to, seconds = _WAYS[trunk.dialect](trunk, call), _PAUSES[trunk.dialect]
    entries: list[dict[str, Any]] = []
    while url := _next_url(trunk, entries):
        if entries and seconds:
            pause(seconds)
        request = request_to(url, entries)
        status, answer = send(request)
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
    last = entries[-1]
    refused = trunk.dialect in ("sip", "telnyx") or "<Response><Reject" in last["answer"]
    return ("busy" if refused and (last["status"] or 500) < 300 else _UNTOLD[trunk.dialect]), entries


def _next_url(trunk: Trunk, entries: Entries) -> str:
    """Return the URL of the next attempt after these; empty if there is none."""
    tried = len(entries)
    if not tried:
        return trunk.handler
    status, answer = entries[-1]["status"], entries[-1]["answer"]
    is_form = trunk.dialect in ("twilio", "texml")
    if status is not None and status < 300 and (not is_form or answer.startswith("<Response")):
        return ""
    if trunk.dialect == "sip":
        ends = tried >= SIP_ATTEMPTS or 400 <= (status or 0) < 500
        return "" if ends else [trunk.handler, trunk.fallback or trunk.handler][tried % 2]
    if trunk.fallback and entries[-1]["url"] == trunk.fallback:
        return ""
    if trunk.dialect == "twilio":
        again = tried <= _retries(trunk.handler, _failure(status, answer))
    else:
        again = tried < TELNYX_ATTEMPTS
    return trunk.handler if again else trunk.fallback


def _failure(status: int | None, answer: str) -> str:
    """Return Twilio's name of a failure: no connection, no answer in time, or the class of the status."""
    if status is None:
        return "rt" if "Timeout" in answer else "ct"
    return f"{status // 100}xx"


def _retries(url: str, failure: str) -> int:
    """Return how often Twilio repeats a webhook after a failure, by the connection overrides in the URL's fragment."""
    overrides = parse_qs(urlsplit(url).fragment)
    policy = ",".join(overrides.get("rp", ["ct"])).split(",")
    count = int(overrides.get("rc", [TWILIO_RETRIES])[0])
    # An answer that is no TwiML is not repeated.
    return count if failure in policy or ("all" in policy and failure != "2xx") else 0


_UNTOLD = {"twilio": "answered", "texml": "answered", "telnyx": "ringing", "sip": "busy"}
"""Sound that the caller hears if no report was taken. The SIP proxy refuses the call before it reports it."""

_PAUSES = {
    "twilio": 0.0,
    "texml": TELNYX_PAUSE_SECONDS,
    "telnyx": TELNYX_PAUSE_SECONDS,
    "sip": SIP_PAUSE_SECONDS,
}
_RequestTo = Callable[[str, Entries], Request]
"""Makes the next request to a URL after some attempts."""


def _post(body: bytes, headers: Mapping[str, str], url: str) -> Request:
    return Request(url, data=body, headers=dict(headers), method="POST")


def twilio_signature(token: str, url: str, fields: Mapping[str, str]) -> str:
    """Sign a form as Twilio does: HMAC-SHA1 over the URL and the sorted fields, without separators."""
    text = url + "".join(f"{name}{value}" for name, value in sorted(fields.items()))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


_CONNECTION_FAILED, _RETRIEVAL_FAILED = "11205", "11200"


def _twilio(trunk: Trunk, call: Call) -> _RequestTo:
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

    def request_to(url: str, entries: Entries) -> Request:
        told = fields
        if entries and url == trunk.fallback:
            error = _CONNECTION_FAILED if entries[-1]["status"] is None else _RETRIEVAL_FAILED
            told = fields | {"ErrorCode": error, "ErrorUrl": trunk.handler}
        signature = twilio_signature(trunk.secret, url, told)
        return _post(urlencode(told).encode(), _FORM | {"X-Twilio-Signature": signature}, url)

    return request_to


def telnyx_headers(seed: str, body: bytes, at: float) -> dict[str, str]:
    """Sign a body as Telnyx does: Ed25519 over the time and the body."""
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed))
    signature = key.sign(f"{int(at)}|".encode() + body)
    return {
        "telnyx-timestamp": str(int(at)),
        "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
    }


def _telnyx(trunk: Trunk, call: Call) -> _RequestTo:
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

    def request_to(url: str, entries: Entries) -> Request:
        body = json.dumps({"data": event, "meta": {"attempt": len(entries) + 1}}).encode()
        sent = call.at + len(entries) * TELNYX_PAUSE_SECONDS
        return _post(body, _JSON | telnyx_headers(trunk.secret, body, sent), url)

    return request_to


def _texml(trunk: Trunk, call: Call) -> _RequestTo:
    fields = {
        "AccountSid": "a1",
        "CallSid": f"v3:{call.id}",
        "CallStatus": "ringing",
        "From": "anonymous" if call.withheld else f"+{call.cli}",
        "To": f"+{call.did}",
    }
    if call.level:
        fields |= {"ShakenStirAttestation": call.level, "ShakenStirValidated": "true"}
    if call.forwarded_from:
        fields["ForwardedFrom"] = call.forwarded_from
    body = urlencode(fields).encode()

    def request_to(url: str, entries: Entries) -> Request:
        sent = call.at + len(entries) * TELNYX_PAUSE_SECONDS
        return _post(body, _FORM | telnyx_headers(trunk.secret, body, sent), url)

    return request_to


def _sip(trunk: Trunk, call: Call) -> _RequestTo:
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
    return lambda url, _: _post(body, _JSON | {"X-Waitcall-Signature": signature}, url)


_WAYS: dict[str, Callable[[Trunk, Call], _RequestTo]] = {
    "twilio": _twilio,
    "telnyx": _telnyx,
    "texml": _texml,
    "sip": _sip,
}
