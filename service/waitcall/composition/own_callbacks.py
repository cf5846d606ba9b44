"""Builder of the routes for calls to our own numbers."""

from collections.abc import Iterable

from flask import Blueprint

from waitcall.adapters.http.body import LowPriorityQueue
from waitcall.adapters.http.own_callbacks import (
    OwnCallbacks,
    sip_blueprint,
    telnyx_blueprint,
    twilio_blueprint,
)
from waitcall.adapters.providers.guarded_calls import TimeLimit
from waitcall.adapters.providers.sip.callback import SipCallbackDecoder
from waitcall.adapters.providers.telnyx.callback import TelnyxCallbackDecoder
from waitcall.adapters.providers.telnyx.client import TelnyxCalls
from waitcall.adapters.providers.twilio.callback import TwilioCallbackDecoder
from waitcall.composition.container import Container
from waitcall.composition.use_cases import own_calls_of
from waitcall.configuration.settings import Secret


def own_callbacks(core: Container, low_priority: LowPriorityQueue, time_limit: TimeLimit) -> list[Blueprint]:
    """Build the route of each dialect whose settings are there."""
    settings, clock = core.settings, core.clock
    own = OwnCallbacks(own_calls_of(core), core.observer, low_priority)
    found: list[Blueprint] = []
    if settings.twilio_auth_tokens:
        tokens = _revealed(settings.twilio_auth_tokens)
        twilio = TwilioCallbackDecoder(settings.twilio_account_sid, tokens, settings.twilio_url, clock)
        found.append(twilio_blueprint(own, twilio))
    if settings.telnyx_public_keys:
        key, refuse = settings.telnyx_api_key, None
        if key is not None:
            refuse = TelnyxCalls(settings.telnyx_api_url, key.reveal(), core.metrics, time_limit).refuse
        telnyx = TelnyxCallbackDecoder(settings.telnyx_public_keys, clock)
        found.append(telnyx_blueprint(own, telnyx, refuse))
    if settings.sip_secrets:
        found.append(sip_blueprint(own, SipCallbackDecoder(_revealed(settings.sip_secrets), clock)))
    return found


def _revealed(secrets: Iterable[Secret]) -> list[str]:
    return [each.reveal() for each in secrets]
