"""Builders that the service, its worker and the command line share: the providers, and the use cases around them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from time import sleep
from typing import TYPE_CHECKING

from waitcall.adapters.http.blueprint import Services
from waitcall.adapters.providers.guarded_calls import TimeLimit, within_greenlet, within_thread
from waitcall.adapters.providers.smsc.account import SmscAccount
from waitcall.adapters.providers.smsc.client import SmscProvider
from waitcall.adapters.providers.smsc.sender import SmscSender
from waitcall.adapters.providers.smsru.client import SmsruProvider
from waitcall.adapters.providers.transport import Account
from waitcall.adapters.redis.idempotency import RedisIdempotencyStore
from waitcall.adapters.redis.outbox import RedisOutbox
from waitcall.application.cancel import CancelVerification
from waitcall.application.consume import ConsumeVerification
from waitcall.application.create import CreateVerification
from waitcall.application.deliver_webhooks import DeadLetters
from waitcall.application.fallback import ChannelSteps
from waitcall.application.hosted_page import WAITING_OF_A_PROCESS, ReadPage
from waitcall.application.open_channel import CallProvider, ChannelOpening, Routing
from waitcall.application.operate import OperatorActions
from waitcall.application.own_numbers import OwnNumberProvider, RecordOwnCall
from waitcall.application.provider_account import AccountManagement
from waitcall.application.read import ReadVerification
from waitcall.application.record_call import RecordInboundCall
from waitcall.application.record_order import RecordOrderReport
from waitcall.application.record_text import RecordInboundText
from waitcall.composition.container import Container
from waitcall.configuration.settings import Settings
from waitcall.domain.channel import Provider
from waitcall.domain.matching import InboxTrust
from waitcall.domain.numbers import E164, may_be_shown

if TYPE_CHECKING:
    from waitcall.adapters.telemetry.tracing import Tracing

PAGE_REST_SECONDS = 0.005
"""Seconds between two reads of pages in one process, so that a crowd of visitors leaves time for other requests."""


@dataclass(frozen=True)
class CliContext:
    """Use cases of the command line. Nothing connects before it is used.

    Attributes:
        use_cases: those of the API. ``waitcall verify`` acts as a client.
    """

    settings: Settings
    core: Container
    use_cases: Services
    account: AccountManagement
    smsc: SmscAccount
    smsru: SmsruProvider | None
    dead_letters: DeadLetters


def build_cli_context(settings: Settings) -> CliContext:
    """Build the use cases with the production clock."""
    core = Container(settings)
    smsc = SmscAccount(account_of(settings), core.metrics)
    return CliContext(
        settings=settings,
        core=core,
        use_cases=services_of(core, opening_of(core), pages_of(core)),
        account=AccountManagement(
            provider_account=smsc,
            audit=core.audit,
            limits=core.limits,
            clock=core.clock,
            policy=core.policy,
        ),
        smsc=smsc,
        smsru=smsru_of(core) if settings.smsru_api_ids else None,
        dead_letters=DeadLetters(RedisOutbox(core.connection, core.keys), core.audit, core.clock),
    )


def opening_of(
    core: Container, tracing: "Tracing | None" = None, *, greenlets: bool = False
) -> ChannelOpening:
    """Build the part that orders calls and sends messages. ``greenlets``: True if gevent runs the process."""
    time_limit = within_greenlet if greenlets else within_thread
    account, routes = account_of(core.settings), core.policy.routing
    providers: list[CallProvider] = []
    if Provider.SMSC in routes.providers:
        providers.append(SmscProvider(account, _may_be_shown(core), core.metrics, time_limit))
    if Provider.SMSRU in routes.providers:
        providers.append(smsru_of(core, time_limit))
    if Provider.OWN in routes.providers:
        providers.append(own_numbers_of(core))
    routing = Routing(providers, routes.default, routes.regions, core.observer)
    sender = SmscSender(account, core.metrics, time_limit, core.policy.code_sender)
    provider = tracing.traced(routing) if tracing else routing
    return ChannelOpening(provider, sender, core.seals, core.policy, core.orders)


def services_of(core: Container, opening: ChannelOpening, pages: ReadPage) -> Services:
    """Build the use cases of the API."""
    seconds = order_seconds(core.settings)
    return Services(
        create=CreateVerification(
            records=core.records,
            admission=core.admission,
            opening=opening,
            clock=core.clock,
            policy=core.policy,
            default_window_seconds=core.settings.window_seconds,
            order_seconds=seconds,
        ),
        read=reading_of(core),
        consume=ConsumeVerification(core.records, core.admission, core.pages, core.clock),
        cancel=CancelVerification(core.records, core.clock),
        channels=ChannelSteps(
            records=core.records,
            admission=core.admission,
            opening=opening,
            seals=core.seals,
            clock=core.clock,
            policy=core.policy,
            order_seconds=seconds,
        ),
        operator=OperatorActions(
            records=core.records,
            admission=core.admission,
            limits=core.limits,
            conversions=core.conversions,
            lists=core.lists,
            audit=core.audit,
            clock=core.clock,
            policy=core.policy,
            own=own_numbers_of(core),
        ),
        idempotency=RedisIdempotencyStore(core.connection, core.keys),
        page_url=pages.url_of,
        clock=core.clock,
    )


def reading_of(core: Container) -> ReadVerification:
    """Build the use case that reads a verification and waits for its change."""
    return ReadVerification(core.records, core.changes, core.admission, core.clock)


def calls_of(core: Container, trust: InboxTrust | None = None) -> RecordInboundCall:
    """Build the use case that records calls. ``trust``: how far records of the provider's inbox are trusted."""
    return RecordInboundCall(core.records, core.used_calls, core.admission, core.clock, trust=trust)


def own_numbers_of(core: Container) -> OwnNumberProvider:
    """Build the provider of our own numbers."""
    return OwnNumberProvider(core.policy.own_numbers, core.numbers, core.policy.dial_regions, core.clock)


def own_calls_of(core: Container) -> RecordOwnCall:
    """Build the use case that records calls to our own numbers."""
    return RecordOwnCall(core.policy.own_numbers, calls_of(core), core.observer)


def messages_of(core: Container) -> RecordInboundText:
    """Build the use cases that record texts and reports on messages."""
    return RecordInboundText(core.records, core.used_calls, core.admission, core.clock)


def reports_of(core: Container) -> RecordOrderReport:
    """Build the use case that records reports on orders."""
    return RecordOrderReport(core.records, core.orders, core.admission, core.clock)


def pages_of(core: Container) -> ReadPage:
    """Build the use cases of hosted pages."""
    return ReadPage(
        store=core.store,
        reading=reading_of(core),
        seals=core.pages,
        limits=core.limits,
        clock=core.clock,
        public_url=core.settings.public_url,
        # Clients of the internal API may wait in the same process, so pages get at most half of the places.
        max_waiting=min(WAITING_OF_A_PROCESS, core.settings.max_waiting // 2),
        rest=partial(sleep, PAGE_REST_SECONDS),
    )


def smsru_of(core: Container, time_limit: TimeLimit = within_thread) -> SmsruProvider:
    """Build the client of SMS.RU. The settings must have its key."""
    settings = core.settings
    credentials = {"api_id": settings.smsru_api_ids[0].reveal()}
    account = Account((settings.smsru_url,), credentials, settings.smsru_timeout_seconds, settings.max_orders)
    return SmsruProvider(account, _may_be_shown(core), core.metrics, time_limit)


def account_of(settings: Settings) -> Account:
    """Return the account at SMSC."""
    credentials = {name: secret.reveal() for name, secret in settings.smsc_credentials.items()}
    return Account(settings.smsc_urls, credentials, settings.smsc_timeout_seconds, settings.max_orders)


def order_seconds(settings: Settings) -> int:
    """Return the most seconds that an order takes. Providers may be asked one after the other, so their timeouts add up."""
    seconds = {
        Provider.SMSC: settings.smsc_timeout_seconds,
        Provider.SMSRU: settings.smsru_timeout_seconds,
    }
    # Our own numbers are chosen in one round trip to Redis.
    return ceil(sum(seconds.get(each, 0) for each in settings.policy.routing.providers)) or 1


def _may_be_shown(core: Container) -> Callable[[E164, E164], bool]:
    return partial(may_be_shown, dial_regions=core.policy.dial_regions)
