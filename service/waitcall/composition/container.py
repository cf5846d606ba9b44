"""Parts that the service, its worker and the command line share: the store and the adapters around it."""

from datetime import UTC, datetime
from functools import partial

from waitcall import __version__
from waitcall.adapters.providers.smsc.client import order_limit
from waitcall.adapters.redis.audit import RedisAuditLog
from waitcall.adapters.redis.change_notifier import RedisChangeNotifier
from waitcall.adapters.redis.connection import Connection, RedisProbe
from waitcall.adapters.redis.keys import Keys
from waitcall.adapters.redis.limits import RedisConversionCounts, RedisLimits
from waitcall.adapters.redis.lists import RedisLists
from waitcall.adapters.redis.number_pool import RedisNumberPool
from waitcall.adapters.redis.orders import RedisOrders
from waitcall.adapters.redis.store import RedisDeadlines, RedisUsedCalls, RedisVerificationStore
from waitcall.adapters.redis.topology import topology_of
from waitcall.adapters.telemetry.logging import log_audit_entry
from waitcall.adapters.telemetry.metrics import Metrics
from waitcall.adapters.telemetry.observer import LoggingObserver
from waitcall.application.admission import AdmissionControl
from waitcall.application.effects import TransitionEffects
from waitcall.application.ports import Clock
from waitcall.application.records import Records
from waitcall.configuration.settings import Settings
from waitcall.domain.code import CodeSeals
from waitcall.domain.hosted_page import PageSeals

MAX_REDIS_CONNECTIONS = 64
"""Maximum number of connections of one process to each server. More would not make Redis faster."""

utc_now = partial(datetime.now, UTC)
"""The only clock in production."""


class Container:
    """Store and adapters that the service, its worker and the command line share. It connects to nothing yet."""

    def __init__(self, settings: Settings, clock: Clock = utc_now, *, worker: bool = False) -> None:
        policy = settings.policy
        self.settings, self.policy, self.clock = settings, policy, clock
        self.metrics = Metrics(__version__, policy.clients, policy.purposes, worker=worker)
        for purpose in policy.purposes.values():
            taken = len(policy.test_numbers) if purpose.test_numbers else 0
            self.metrics.test_numbers.labels(purpose.name).set(taken)
        self.observer = LoggingObserver(self.metrics)
        self.connection = Connection(
            topology_of(settings.redis, MAX_REDIS_CONNECTIONS),
            self.metrics.redis_error,
            MAX_REDIS_CONNECTIONS,
            self.metrics.unreadable,
            min_replicas=settings.redis_min_replicas,
        )
        peppers = [each.reveal() for each in (settings.key_pepper, settings.key_pepper_other) if each]
        self.keys = Keys(*peppers)
        self.seals = CodeSeals(*peppers)
        self.pages = PageSeals(*peppers)
        self.changes = RedisChangeNotifier(self.connection, self.keys, settings.max_waiting)
        self.limits = RedisLimits(self.connection, self.keys)
        self.conversions = RedisConversionCounts(self.connection, self.keys)
        self.lists = RedisLists(self.connection)
        told = log_audit_entry if policy.audit.log else None
        self.audit = RedisAuditLog(self.connection, self.keys, policy.audit, told)
        self.deadlines = RedisDeadlines(self.connection, self.keys)
        self.used_calls = RedisUsedCalls(self.connection, self.keys)
        self.probe = RedisProbe(self.connection)
        self.store = RedisVerificationStore(
            self.connection,
            self.keys,
            limits=self.limits,
            conversions=self.conversions,
            lists=self.lists,
            audit=self.audit,
        )
        self.orders = RedisOrders(self.connection)
        self.numbers = RedisNumberPool(self.connection, self.keys)
        self.records = Records(self.store, self.observer, TransitionEffects(policy))
        self.admission = AdmissionControl(
            limits=self.limits,
            lists=self.lists,
            observer=self.observer,
            policy=policy,
            provider_limit=order_limit(tries=len(settings.smsc_urls)),
        )
