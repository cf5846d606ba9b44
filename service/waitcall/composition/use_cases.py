"""Builders that the service and the command line share: the providers, and the use cases around them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from time import sleep

from waitcall.adapters.providers.smsc.client import SmscProvider
from waitcall.adapters.providers.smsc.sender import SmscSender
from waitcall.adapters.providers.smsru.client import SmsruProvider
from waitcall.adapters.providers.time_limit import TimeLimit, within_greenlet, within_thread
from waitcall.adapters.providers.transport import Account
from waitcall.adapters.telemetry.metrics import Metrics
from waitcall.adapters.telemetry.spans import NoSpans, Spans
from waitcall.application.cancel import CancelVerification
from waitcall.application.consume import ConsumeVerification
from waitcall.application.create import CreateVerification
from waitcall.application.fallback import ChannelSteps
from waitcall.application.hosted_page import WAITING_OF_A_PROCESS, Pages
from waitcall.application.open_channel import ChannelOpening
from waitcall.application.providers import CallProvider
from waitcall.application.read import ReadVerification
from waitcall.application.record_call import Calls
from waitcall.application.record_text import Messages
from waitcall.application.records import Records
from waitcall.application.routing import Routing
from waitcall.composition.core import Core
from waitcall.configuration.settings import Settings
from waitcall.domain.matching import InboxTrust
from waitcall.domain.numbers import E164, may_be_shown
from waitcall.domain.policy import Provider

PAGE_REST_SECONDS = 0.005
"""Seconds between two reads of pages in one process, so that a crowd of visitors leaves time for other requests."""


def opening_of(
    settings: Settings,
    core: Core,
    metrics: Metrics,
    trace: Spans | None = None,
    *,
    greenlets: bool = False,
) -> ChannelOpening:
    """Build the part that orders calls and sends messages. ``greenlets``: True if gevent runs the process."""
    time_limit = within_greenlet if greenlets else within_thread
    routes = settings.policy.routing
    makers: dict[Provider, Callable[[Settings, Metrics, TimeLimit], CallProvider]] = {
        Provider.SMSC: _smsc,
        Provider.SMSRU: smsru_of,
    }
    providers = [
        make(settings, metrics, time_limit) for name, make in makers.items() if name in routes.providers
    ]
    routing = Routing(providers, routes.default, routes.regions, core.observer)
    provider = (trace or NoSpans()).traced(routing)
    return ChannelOpening(
        provider, _sender(settings, metrics, time_limit), core.seals, settings.policy, core.orders
    )


@dataclass(frozen=True, slots=True)
class ClientUseCases:
    """Use cases of a client of the API."""

    create: CreateVerification
    read: ReadVerification
    consume: ConsumeVerification
    cancel: CancelVerification
    channels: ChannelSteps


def client_use_cases(settings: Settings, core: Core, opening: ChannelOpening) -> ClientUseCases:
    records = Records(core.store, core.observer, core.effects)
    return ClientUseCases(
        CreateVerification(
            store=core.store,
            admission=core.admission,
            effects=core.effects,
            opening=opening,
            observer=core.observer,
            clock=core.clock,
            policy=core.policy,
            default_window_seconds=settings.window_seconds,
            order_seconds=_order_seconds(settings),
        ),
        reading_of(core),
        ConsumeVerification(core.store, records, core.admission, core.pages, core.clock),
        CancelVerification(records, core.clock),
        ChannelSteps(
            store=core.store,
            admission=core.admission,
            effects=core.effects,
            opening=opening,
            seals=core.seals,
            observer=core.observer,
            clock=core.clock,
            policy=core.policy,
            order_seconds=_order_seconds(settings),
        ),
    )


def reading_of(core: Core) -> ReadVerification:
    records = Records(core.store, core.observer, core.effects)
    return ReadVerification(core.store, records, core.changes, core.admission, core.clock)


def calls_of(core: Core, trust: InboxTrust | None = None) -> Calls:
    return Calls(
        *(core.store, core.used_calls, core.observer, core.clock, core.effects),
        admission=core.admission,
        trust=trust,
    )


def messages_of(core: Core) -> Messages:
    return Messages(
        *(core.store, core.used_calls, core.observer, core.clock, core.effects), admission=core.admission
    )


def pages_of(settings: Settings, core: Core) -> Pages:
    return Pages(
        store=core.store,
        reading=reading_of(core),
        seals=core.pages,
        limits=core.limits,
        clock=core.clock,
        public_url=settings.public_url,
        # Clients of the internal API may wait in the same process, so pages get at most half of the places.
        max_waiting=min(WAITING_OF_A_PROCESS, settings.max_waiting // 2),
        rest=partial(sleep, PAGE_REST_SECONDS),
    )


def smsru_of(settings: Settings, metrics: Metrics, time_limit: TimeLimit = within_thread) -> SmsruProvider:
    credentials = {"api_id": settings.smsru_api_ids[0].reveal()}
    account = Account((settings.smsru_url,), credentials, settings.smsru_timeout_seconds, settings.max_orders)
    return SmsruProvider(account, _shown(settings), metrics, time_limit)


def _smsc(settings: Settings, metrics: Metrics, time_limit: TimeLimit) -> SmscProvider:
    return SmscProvider(account_of(settings), _shown(settings), metrics, time_limit)


def _shown(settings: Settings) -> Callable[[E164, E164], bool]:
    return partial(may_be_shown, dial_regions=settings.policy.dial_regions)


def _order_seconds(settings: Settings) -> int:
    # Providers may be asked one after the other, so their timeouts add up.
    seconds = {
        Provider.SMSC: settings.smsc_timeout_seconds,
        Provider.SMSRU: settings.smsru_timeout_seconds,
    }
    return ceil(sum(seconds[each] for each in settings.policy.routing.providers))


def _sender(settings: Settings, metrics: Metrics, time_limit: TimeLimit) -> SmscSender:
    return SmscSender(account_of(settings), metrics, time_limit, settings.policy.code_sender)


def account_of(settings: Settings) -> Account:
    credentials = {name: secret.reveal() for name, secret in settings.smsc_credentials.items()}
    return Account(settings.smsc_urls, credentials, settings.smsc_timeout_seconds, settings.max_orders)
