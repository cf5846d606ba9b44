"""Doors for calls to our own numbers, each with its settings, its numbers, and reports as its provider sends them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.own_calls import (
    CALLER,
    DIALLED,
    SIP_OTHER_SECRET,
    SIP_SECRET,
    TELNYX_KEY,
    TELNYX_OTHER_KEY,
    TWILIO_ACCOUNT,
    TWILIO_CALL,
    TWILIO_OTHER_TOKEN,
    TWILIO_TOKEN,
    TWILIO_URL,
    Report,
    public,
    sip,
    telnyx_event,
    telnyx_form,
    twilio,
)

OTHER_NUMBER = "+12025550143"
REJECT = b'<Response><Reject reason="busy"/></Response>'


@dataclass(frozen=True)
class Door:
    """A route, and a function that makes a signed report of one call.

    Attributes:
        answer: status, type and body of the answer to an authentic report.
        other: the second secret or key, which is accepted too.
    """

    name: str
    dialect: str
    settings: dict[str, str]
    answer: tuple[int, str, bytes]
    make: Callable[..., Report]
    secret: Any
    other: Any

    @property
    def path(self) -> bytes:
        return f"/callbacks/{self.dialect}".encode()

    @property
    def policy(self) -> str:
        return f"""
dial_regions = ["US"]
[purposes.login]
[purposes.strict]
min_assurance = "network"
channels = ["call", "code"]
[clients.web]
purposes = ["login", "strict"]
[clients.app]
purposes = ["login"]
[clients.ops]
purposes = []
scopes = ["operate"]
[limits]
number = []
[routing]
default = ["own"]
[own_numbers]
{self.dialect} = ["{DIALLED}", "{OTHER_NUMBER}"]
"""

    def report(
        self,
        call_id: str,
        at: int,
        *,
        caller: str = CALLER,
        dialled: str = DIALLED,
        vouched: bool = True,
        secret: Any = None,
    ) -> Report:
        return self.make(call_id, at, caller, dialled, vouched, secret or self.secret)


def _twilio(call_id: str, _: int, caller: str, dialled: str, vouched: bool, token: str) -> Report:
    level = {"StirVerstat": "TN-Validation-Passed-A" if vouched else "TN-Validation-Passed-B"}
    sid = f"CA{int(call_id):032x}"
    return twilio(TWILIO_CALL | level | {"CallSid": sid, "From": caller, "To": dialled}, token)


def _event(call_id: str, at: int, caller: str, dialled: str, vouched: bool, key: Any) -> Report:
    given = {"call_session_id": call_id, "from": caller, "to": dialled, "shaken_stir_validated": vouched}
    return telnyx_event(at, key, **given)


def _form(call_id: str, at: int, caller: str, dialled: str, vouched: bool, key: Any) -> Report:
    level = "A" if vouched else "B"
    return telnyx_form(at, key, CallSid=call_id, From=caller, To=dialled, ShakenStirAttestation=level)


def _sip(call_id: str, at: int, caller: str, dialled: str, vouched: bool, secret: str) -> Report:
    level = "A" if vouched else ""
    return sip(at, secret, call_id=call_id, caller=caller, dialled=dialled, attestation=level)


_TELNYX = {"WAITCALL_TELNYX_PUBLIC_KEYS": f"{public(TELNYX_KEY)},{public(TELNYX_OTHER_KEY)}"}
TWILIO = Door(
    "twilio",
    "twilio",
    {
        "WAITCALL_TWILIO_ACCOUNT_SID": TWILIO_ACCOUNT,
        "WAITCALL_TWILIO_AUTH_TOKENS": f"{TWILIO_TOKEN},{TWILIO_OTHER_TOKEN}",
        "WAITCALL_TWILIO_URL": TWILIO_URL,
    },
    (200, "text/xml", REJECT),
    _twilio,
    TWILIO_TOKEN,
    TWILIO_OTHER_TOKEN,
)
CALL_CONTROL = Door(
    "call control",
    "telnyx",
    _TELNYX,
    (200, "text/plain; charset=utf-8", b""),
    _event,
    TELNYX_KEY,
    TELNYX_OTHER_KEY,
)
TEXML = Door("texml", "telnyx", _TELNYX, (200, "text/xml", REJECT), _form, TELNYX_KEY, TELNYX_OTHER_KEY)
SIP = Door(
    "sip",
    "sip",
    {"WAITCALL_SIP_SECRETS": f"{SIP_SECRET},{SIP_OTHER_SECRET}"},
    (204, "text/plain; charset=utf-8", b""),
    _sip,
    SIP_SECRET,
    SIP_OTHER_SECRET,
)
DOORS = [TWILIO, CALL_CONTROL, TEXML, SIP]
