"""What the service and the command line make of the same parts: the provider, and the use cases around it."""

from collections.abc import Callable
from functools import partial
from math import ceil

from service.adapters.smsc.client import SmscProvider
from service.adapters.smsc.sender import SmscSender
from service.adapters.smsc.transport import Account
from service.adapters.telemetry.metrics import Metrics
from service.adapters.telemetry.spans import NoSpans, Spans
from service.application.channels import Channels
from service.application.opening import Opening
from service.application.verifications import Verifications
from service.bootstrap.core import Core
from service.domain.numbers import E164, may_be_shown
from service.settings import Settings


def opening_of(settings: Settings, core: Core, metrics: Metrics, trace: Spans | None = None) -> Opening:
    """The provider's calls and messages."""
    provider = (trace or NoSpans()).traced(_provider(settings, metrics))
    return Opening(provider, _sender(settings, metrics), core.seals, settings.policy)


def verifications_of(settings: Settings, core: Core, opening: Opening) -> Verifications:
    return Verifications(
        store=core.store,
        admission=core.admission,
        chronicle=core.chronicle,
        opening=opening,
        observer=core.observer,
        clock=core.clock,
        policy=core.policy,
        default_window_seconds=settings.window_seconds,
        order_seconds=ceil(settings.smsc_timeout_seconds),
    )


def channels_of(settings: Settings, core: Core, opening: Opening) -> Channels:
    return Channels(
        store=core.store,
        admission=core.admission,
        chronicle=core.chronicle,
        opening=opening,
        seals=core.seals,
        observer=core.observer,
        clock=core.clock,
        policy=core.policy,
        order_seconds=ceil(settings.smsc_timeout_seconds),
    )


def _provider(settings: Settings, metrics: Metrics) -> SmscProvider:
    shown: Callable[[E164, E164], bool] = partial(may_be_shown, dial_regions=settings.policy.dial_regions)
    return SmscProvider(account_of(settings), shown, metrics, settings.max_orders)


def _sender(settings: Settings, metrics: Metrics) -> SmscSender:
    return SmscSender(account_of(settings), metrics, settings.max_orders, settings.policy.code_sender)


def account_of(settings: Settings) -> Account:
    credentials = {name: secret.reveal() for name, secret in settings.smsc_credentials.items()}
    return Account(settings.smsc_urls, credentials, settings.smsc_timeout_seconds)
