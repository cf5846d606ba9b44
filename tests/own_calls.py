"""Reports of calls to our own numbers, signed as Twilio, Telnyx and the SIP proxy sign them."""

import hmac
import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
CALLER, DIALLED = "+12025550123", "+12025550142"

TWILIO_URL = "https://verify.example.org/callbacks/twilio"
TWILIO_TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
TWILIO_OTHER_TOKEN = "ffffffffffffffffffffffffffffffff"
TWILIO_ACCOUNT = "AC00112233445566778899aabbccddeeff"
TWILIO_CALL = {
    "AccountSid": TWILIO_ACCOUNT,
    "ApiVersion": "2010-04-01",
    "CallSid": "CA0123456789abcdef0123456789abcdef",
    "CallStatus": "ringing",
    "Direction": "inbound",
    "From": CALLER,
    "StirVerstat": "TN-Validation-Passed-A",
    "To": DIALLED,
}
OF_SIP, OF_MESSAGES = ("SipDomain", "SipCallId", "SipSourceIp", "SipHeader_"), ("MessageSid", "SmsSid")
"""Names of Twilio's that end a call's proof, wherever they stand in the signed text."""
TELNYX_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TELNYX_OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
SIP_SECRET, SIP_OTHER_SECRET = "a-secret-of-the-proxy-0123456789a", "the-previous-one-of-it-0123456789"


def may_follow(further: Mapping[str, str]) -> bool:
    """Tell whether Twilio's decoder accepts these parameters with ``TWILIO_CALL``, as parameters that it does not know.

    It refuses texts in which the name of a parameter that it knows may begin, and names that could be the rest of the URL.
    """
    text = "".join(name + value for name, value in sorted(further.items()))
    is_free = not any(name in text for name in (*TWILIO_CALL, *OF_SIP, *OF_MESSAGES))
    return is_free and all(name >= "A" for name in further)


@dataclass
class Report:
    """One request: its headers and its body."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def public(key: Ed25519PrivateKey) -> str:
    """Return the public key as Telnyx's portal shows it."""
    return b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def twilio(
    fields: Mapping[str, str] | list[tuple[str, str]], token: str = TWILIO_TOKEN, url: str = TWILIO_URL
) -> Report:
    pairs = sorted(fields.items() if isinstance(fields, Mapping) else fields)
    text = url + "".join(name + value for name, value in pairs)
    digest = hmac.digest(token.encode(), text.encode(), sha1)
    return Report(
        urlencode(pairs).encode(),
        {"Content-Type": FORM, "X-Twilio-Signature": b64encode(digest).decode()},
    )


def telnyx(
    body: bytes, content_type: str, timestamp: int | str, key: Ed25519PrivateKey = TELNYX_KEY
) -> Report:
    signature = b64encode(key.sign(f"{timestamp}|".encode() + body)).decode()
    return Report(
        body,
        {
            "Content-Type": content_type,
            "telnyx-signature-ed25519": signature,
            "telnyx-timestamp": str(timestamp),
        },
    )


def event(**payload: Any) -> dict[str, Any]:
    """Return an event of Call Control for an incoming call."""
    given = {
        "call_control_id": "v3:control-1",
        "call_session_id": "session-1",
        "direction": "incoming",
        "from": CALLER,
        "to": DIALLED,
        "shaken_stir_attestation": "A",
        "shaken_stir_validated": True,
    }
    return {"data": {"event_type": "call.initiated", "id": "event-1", "payload": given | payload}}


def telnyx_event(timestamp: int, key: Ed25519PrivateKey = TELNYX_KEY, **payload: Any) -> Report:
    return telnyx(json.dumps(event(**payload)).encode(), JSON, timestamp, key)


def telnyx_form(timestamp: int, key: Ed25519PrivateKey = TELNYX_KEY, **fields: str) -> Report:
    given = {
        "AccountSid": "a1",
        "CallSid": "v3:x",
        "CallStatus": "ringing",
        "From": CALLER,
        "ShakenStirAttestation": "A",
        "ShakenStirValidated": "true",
        "To": DIALLED,
    }
    return telnyx(urlencode(given | fields).encode(), FORM, timestamp, key)


def sip_signature(body: bytes, secret: str = SIP_SECRET) -> str:
    return urlsafe_b64encode(hmac.digest(secret.encode(), body, sha256)).rstrip(b"=").decode()


def sip(ts: Any, secret: str = SIP_SECRET, **members: Any) -> Report:
    given = {
        "call_id": "1-5498@127.0.0.1",
        "nonce": "0123456789abcdef",
        "ts": ts,
        "caller": CALLER,
        "dialled": DIALLED,
        "to": DIALLED,
        "private": False,
        "diverted": False,
        "attestation": "A",
    }
    return signed_sip(json.dumps(given | members).encode(), secret)


def signed_sip(body: bytes, secret: str = SIP_SECRET) -> Report:
    return Report(body, {"Content-Type": JSON, "X-Waitcall-Signature": sip_signature(body, secret)})
