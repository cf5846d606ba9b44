"""The composition root: the only package that names concrete adapters."""

import logging
import logging.config
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path
from secrets import token_hex
from socket import gethostname
from typing import TYPE_CHECKING

from flask import Blueprint, Flask

from waitcall import __version__
from waitcall.adapters.http import callbacks, operations
from waitcall.adapters.http import hosted_page as page
from waitcall.adapters.http.api import mount
from waitcall.adapters.http.app import API_BODY_BYTES, CALLBACK_BODY_BYTES, Surfaces, create_app
from waitcall.adapters.http.auth import ApiKeys
from waitcall.adapters.http.body import LowPriorityQueue
from waitcall.adapters.http.languages import Catalogues
from waitcall.adapters.providers.guarded_calls import within_greenlet, within_thread
from waitcall.adapters.providers.smsc.account import SmscAccount
from waitcall.adapters.providers.smsc.callback import SmscCallbackDecoder
from waitcall.adapters.providers.smsru.callback import SmsruCallbackDecoder
from waitcall.adapters.redis.change_notifier import RedisChangeNotifier
from waitcall.adapters.redis.leadership import LEASE_SECONDS, RedisLeadership, RedisProgress
from waitcall.adapters.redis.outbox import RedisOutbox
from waitcall.adapters.telemetry.logging import logging_config
from waitcall.adapters.telemetry.metrics import CONTENT_TYPE, exposition
from waitcall.adapters.telemetry.observer import BalanceMeter, DeliveryMeter
from waitcall.adapters.webhooks.sender import WebhookSender
from waitcall.application.deliver_webhooks import DeliverWebhooks, remind
from waitcall.application.expire import ExpireVerifications
from waitcall.application.hosted_page import ReadPage
from waitcall.application.ports import Clock
from waitcall.application.provider_account import BalanceMonitor
from waitcall.application.readiness import Readiness
from waitcall.application.reconcile_inbox import ReconcileInbox
from waitcall.application.record_order import PollOrders
from waitcall.composition.container import Container, utc_now
from waitcall.composition.own_callbacks import own_callbacks
from waitcall.composition.use_cases import (
    account_of,
    calls_of,
    messages_of,
    opening_of,
    pages_of,
    reports_of,
    services_of,
    smsru_of,
)
from waitcall.configuration.settings import Secret, Settings, is_replaced, weaknesses
from waitcall.domain.channel import Provider
from waitcall.domain.matching import InboxTrust
from waitcall.domain.numbers import may_be_dialled
from waitcall.processes.background_worker import BackgroundWorker, Duty, Loop, Sweeper

if TYPE_CHECKING:
    from waitcall.adapters.telemetry.tracing import Tracing

BALANCE_SECONDS = 300.0
BACKLOG_SECONDS = 5.0
ORDERS_SECONDS = 2.0
SWEEP_SECONDS = 1.5
LEFT_TO_THE_WORKER = timedelta(seconds=5)
"""Delay after which serving processes sweep an overdue record. Until then it is left to the background worker."""
PUSH_SECONDS = 0.2

_log = logging.getLogger(__name__)


def build(
    settings: Settings, *, multiprocess_dir: str | None, clock: Clock = utc_now, greenlets: bool = False
) -> Surfaces:
    """Build the whole service as one WSGI callable. It connects to nothing yet.

    ``multiprocess_dir``: directory in which processes share metrics; None for one process. ``greenlets``: True with gevent.
    """
    core = Container(settings, clock)
    metrics = core.metrics
    tracing = _tracing(settings)
    sweep = ExpireVerifications(core.records, core.deadlines, clock)
    sweeper = Sweeper(partial(sweep.run, LEFT_TO_THE_WORKER))
    expose = partial(exposition, metrics.registry, multiprocess_dir)
    scopes = {name: client.scopes for name, client in settings.policy.clients.items()}
    keys = ApiKeys(settings.api_keys, scopes)
    surface = partial(create_app, keys=keys, observer=core.observer, metrics=metrics)
    outer = partial(surface, trusted_hosts=settings.trusted_hosts, trusted_hops=settings.trusted_hops)
    pages = pages_of(core)
    ready = Readiness(core.probe)
    ops = [operations.blueprint(ready, expose, CONTENT_TYPE, __version__)]
    # No trusted hosts here, because probes and scrapes send the pod's address as their Host.
    by_port = {_port(settings.ops_bind): surface("ops", ops, max_body_bytes=API_BODY_BYTES)}
    if "api" in settings.surfaces:
        opening = opening_of(core, tracing, greenlets=greenlets)
        api = outer("api", [], max_body_bytes=API_BODY_BYTES)
        mount(api, services_of(core, opening, pages), __version__)
        by_port[_port(settings.api_bind)] = api
        if tracing:
            tracing.watch(api)
    low_priority = LowPriorityQueue()
    if public := _public(core, pages, low_priority, greenlets=greenlets):
        # This surface knows no keys, so a stranger cannot try here whether a key is valid.
        outer = partial(outer, keys=ApiKeys({}, {}), low_priority=low_priority)
        app = outer("callback", public, max_body_bytes=CALLBACK_BODY_BYTES)
        by_port[_port(settings.callback_bind)] = app
        if tracing:
            tracing.watch(app)
    return Surfaces(
        by_port,
        start=sweeper.start,
        stop=partial(_stop, core.changes, sweeper, ready, settings.drain_seconds),
        metrics=metrics,
    )


def _tracing(settings: Settings) -> "Tracing | None":
    if settings.tracing == "off":
        return None
    from waitcall.adapters.telemetry.tracing import Tracing  # noqa: PLC0415  OpenTelemetry may not be installed

    return Tracing(__version__)


def _public(
    core: Container, pages: ReadPage, low_priority: LowPriorityQueue, *, greenlets: bool
) -> list[Blueprint]:
    """Return the blueprints that strangers can reach."""
    settings = core.settings
    public: list[Blueprint] = []
    told = (core.observer, low_priority)
    if "callback" in settings.surfaces:
        if settings.callback_secrets:
            decoder = SmscCallbackDecoder(settings.callback_hash, _revealed(settings.callback_secrets))
            public.append(callbacks.blueprint(calls_of(core), messages_of(core), decoder, *told))
        if settings.smsru_api_ids:
            orders = SmsruCallbackDecoder(_revealed(settings.smsru_api_ids))
            public.append(callbacks.orders_blueprint(reports_of(core), orders, *told))
        public += own_callbacks(core, low_priority, within_greenlet if greenlets else within_thread)
    if settings.policy.has_pages and settings.surfaces & {"callback", "page"}:
        further = [Path(settings.page_locales)] if settings.page_locales else []
        catalogues = Catalogues([Path(str(page.__path__[0])) / "locales", *further])
        public.append(page.blueprint(pages, catalogues, settings.policy.brand, core.clock, low_priority))
    return public


def build_worker(settings: Settings) -> BackgroundWorker:
    """Build the background worker. It listens for probes, and connects to nothing yet."""
    policy, core = settings.policy, Container(settings, worker=True)
    metrics, clock = core.metrics, core.clock
    # Calls may arrive at any number of SMSC, but texts only at ours.
    takes_calls = Provider.SMSC in policy.routing.providers
    inbox = SmscAccount(account_of(settings), metrics, () if takes_calls else policy.text_in_numbers)
    balance_monitor = BalanceMonitor(inbox, BalanceMeter(metrics, settings.low_balance))
    duties: list[Duty] = []
    if Provider.SMSC in policy.providers:
        duties.append(Duty("balance", balance_monitor.run, every_seconds=BALANCE_SECONDS))
    if settings.inbox_poll_seconds and Provider.SMSC in policy.providers:
        duties.append(Duty("inbox", _reconciliation(core, inbox).run, every_seconds=1.0))
    if settings.smsru_api_ids:
        poll = PollOrders(smsru_of(core), core.orders, core.store, reports_of(core), clock)
        duties.append(Duty("orders", poll.run, every_seconds=ORDERS_SECONDS))
    outbox = RedisOutbox(core.connection, core.keys)
    endpoints = {each.name for client in policy.clients.values() for each in client.webhooks}
    sender = WebhookSender({name: _revealed(secrets) for name, secrets in settings.webhook_secrets.items()})
    push = DeliverWebhooks(
        outbox=outbox,
        sender=sender,
        delivery_metrics=DeliveryMeter(metrics, endpoints),
        clock=clock,
        policy=policy,
        consumer=f"{gethostname()}-{token_hex(4)}",
    )
    loops = [
        Loop(
            "sweep",
            ExpireVerifications(
                core.records, core.deadlines, clock, remind=partial(remind, outbox, policy)
            ).run,
            SWEEP_SECONDS,
        )
    ]
    if endpoints:
        loops.append(Loop("push", push.run, PUSH_SECONDS))
        duties.append(Duty("backlog", push.measure, every_seconds=BACKLOG_SECONDS))
    worker = BackgroundWorker(
        leadership=RedisLeadership(core.connection),
        lease_seconds=LEASE_SECONDS,
        duties=duties,
        loops=loops,
        close=partial(_close, inbox, core, push, sender),
        looped=metrics.looped,
    )
    metrics.lead(worker.fence)
    worker.serve(_worker_ops(core, worker), settings.worker_ops_bind)
    return worker


def configure_logging(settings: Settings) -> None:
    """Log as JSON lines in the whole process, and warn of weak settings."""
    logging.config.dictConfig(logging_config(settings.log_level))
    for weakness in weaknesses(settings):
        _log.warning(weakness)


def _reconciliation(core: Container, inbox: SmscAccount) -> ReconcileInbox:
    settings = core.settings
    trust = InboxTrust(frozenset(core.policy.text_in_numbers), settings.inbox_assurance)
    return ReconcileInbox(
        inbox=inbox,
        progress=RedisProgress(core.connection),
        deadlines=core.deadlines,
        calls=calls_of(core, trust),
        messages=messages_of(core),
        clock=core.clock,
        every=timedelta(seconds=settings.inbox_poll_seconds),
        may_be_dialled=partial(may_be_dialled, dial_regions=core.policy.dial_regions),
    )


def _worker_ops(core: Container, worker: BackgroundWorker) -> Flask:
    expose = partial(exposition, core.metrics.registry, None)
    ops = operations.blueprint(
        Readiness(core.probe), expose, CONTENT_TYPE, __version__, is_alive=worker.is_alive
    )
    return create_app(
        "ops",
        [ops],
        max_body_bytes=API_BODY_BYTES,
        keys=ApiKeys(core.settings.api_keys, {}),
        observer=core.observer,
        metrics=core.metrics,
    )


def _close(inbox: SmscAccount, core: Container, push: DeliverWebhooks, sender: WebhookSender) -> None:
    push.close()
    sender.close()
    inbox.close()
    core.connection.close()


def _stop(
    notifier: RedisChangeNotifier, sweeper: Sweeper, readiness: Readiness, drain_seconds: float
) -> float:
    sweeper.stop()
    notifier.close()
    if is_replaced():
        # Another worker process replaces this one, so the replica stays ready.
        return 0
    readiness.leave()
    return drain_seconds


def _revealed(secrets: Iterable[Secret]) -> list[str]:
    return [each.reveal() for each in secrets]


def _port(bind: str) -> str:
    return bind.rpartition(":")[2]
