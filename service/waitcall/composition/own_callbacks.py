"""Builder of the routes for calls to our own numbers."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_hex
from urllib.parse import urlencode

from flask import Blueprint

from waitcall.adapters.http.body import LowPriorityQueue
from waitcall.adapters.http.own_callbacks import (
    FORM,
    OwnCallbacks,
    sip_blueprint,
    telnyx_blueprint,
    twilio_blueprint,
)
from waitcall.adapters.providers.guarded_calls import TimeLimit
from waitcall.adapters.providers.sip import callback as sip
from waitcall.adapters.providers.sip.callback import SipCallbackDecoder
from waitcall.adapters.providers.telnyx.callback import TelnyxCallbackDecoder
from waitcall.adapters.providers.telnyx.client import TelnyxCalls
from waitcall.adapters.providers.twilio import callback as twilio
from waitcall.adapters.providers.twilio.callback import TwilioCallbackDecoder
from waitcall.composition.container import Container
from waitcall.composition.use_cases import own_calls_of
from waitcall.configuration.settings import Secret, Settings
from waitcall.domain.channel import Dialect


def own_callbacks(core: Container, low_priority: LowPriorityQueue, time_limit: TimeLimit) -> list[Blueprint]:
    """Build the route of each dialect whose settings are there."""
    settings, clock = core.settings, core.clock
    own = OwnCallbacks(own_calls_of(core), core.observer, low_priority)
    found: list[Blueprint] = []
    if settings.twilio_auth_tokens:
        tokens = _revealed(settings.twilio_auth_tokens)
        decoder = TwilioCallbackDecoder(settings.twilio_account_sid, tokens, settings.twilio_url, clock)
        found.append(twilio_blueprint(own, decoder))
    if settings.telnyx_public_keys:
        key, refuse = settings.telnyx_api_key, None
        if key is not None:
            refuse = TelnyxCalls(settings.telnyx_api_url, key.reveal(), core.metrics, time_limit).refuse
        telnyx = TelnyxCallbackDecoder(settings.telnyx_public_keys, clock)
        found.append(telnyx_blueprint(own, telnyx, refuse))
    if settings.sip_secrets:
        found.append(sip_blueprint(own, SipCallbackDecoder(_revealed(settings.sip_secrets), clock)))
    return found


@dataclass(frozen=True)
class SampleReport:
    """Report that matches nothing, to check a route from outside, with the status of its right answer."""

    dialect: Dialect
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int


def sample_reports(settings: Settings, now: datetime) -> Iterator[SampleReport]:
    """Make a report of a withheld call for each dialect that the policy uses, signed with our current secret.

    Telnyx signs with a key that only Telnyx has, so its report is unsigned and must be refused.
    """
    used = set(settings.policy.own_numbers.dialects.values())
    if Dialect.TWILIO in used:
        fields = {
            "AccountSid": settings.twilio_account_sid,
            "CallSid": f"CA{token_hex(16)}",
            "CallStatus": "ringing",
            "Direction": "inbound",
            "From": "anonymous",
            "To": "+",
        }
        signed = settings.twilio_url + "".join(f"{name}{fields[name]}" for name in sorted(fields))
        signature = twilio.signature_of(settings.twilio_auth_tokens[0].reveal().encode(), signed.encode())
        headers = {"Content-Type": FORM, "X-Twilio-Signature": signature.decode()}
        yield SampleReport(Dialect.TWILIO, headers, urlencode(fields).encode(), 200)
    if Dialect.TELNYX in used:
        yield SampleReport(Dialect.TELNYX, {"Content-Type": "application/json"}, b"{}", 403)
    if Dialect.SIP in used:
        event = {
            "call_id": f"{token_hex(16)}@doctor",
            "nonce": token_hex(16),
            "ts": int(now.timestamp()),
            **dict.fromkeys(("caller", "dialled", "to", "attestation"), ""),
            "private": True,
            "diverted": False,
        }
        body = json.dumps(event).encode()
        signature = sip.signature_of(settings.sip_secrets[0].reveal().encode(), body)
        headers = {"Content-Type": "application/json", "X-Waitcall-Signature": signature.decode()}
        yield SampleReport(Dialect.SIP, headers, body, 204)


def _revealed(secrets: Iterable[Secret]) -> list[str]:
    return [each.reveal() for each in secrets]
