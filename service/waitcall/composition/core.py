"""Parts that the service, its worker and the command line share: the store and the adapters around it."""

from datetime import UTC, datetime
from functools import partial

from waitcall import __version__
from waitcall.adapters.providers.smsc.client import order_limit
from waitcall.adapters.redis.audit import RedisAuditLog
from waitcall.adapters.redis.change_notifier import RedisChangeNotifier
from waitcall.adapters.redis.connection import Connection
from waitcall.adapters.redis.conversions import RedisConversionCounts
from waitcall.adapters.redis.deadlines import RedisDeadlines
from waitcall.adapters.redis.keys import Keys
from waitcall.adapters.redis.limits import RedisLimits
from waitcall.adapters.redis.lists import RedisLists
from waitcall.adapters.redis.orders import RedisOrders
from waitcall.adapters.redis.probe import RedisProbe
from waitcall.adapters.redis.store import RedisVerificationStore
from waitcall.adapters.redis.topology import topology_of
from waitcall.adapters.redis.used_calls import RedisUsedCalls
from waitcall.adapters.telemetry.audit import tell
from waitcall.adapters.telemetry.metrics import Metrics
from waitcall.adapters.telemetry.observer import LoggingObserver
from waitcall.application.admission import AdmissionControl
from waitcall.application.announcement import Announcer
from waitcall.application.effects import TransitionEffects
from waitcall.application.ports import Clock
from waitcall.configuration.settings import Settings
from waitcall.domain.code import CodeSeals
from waitcall.domain.hosted_page import PageSeals
from waitcall.domain.limits import Scope

MAX_REDIS_CONNECTIONS = 64
"""Maximum number of connections of one process to each server. More would not make Redis faster."""

utc_now = partial(datetime.now, UTC)
"""The only clock in production."""


class Core:
    """Store and adapters that the service, its worker and the command line share. It connects to nothing yet."""

    def __init__(self, settings: Settings, clock: Clock = utc_now, *, worker: bool = False) -> None:
        policy = settings.policy
        self.settings, self.policy, self.clock = settings, policy, clock
        self.metrics = Metrics(__version__, policy.clients, policy.purposes, worker=worker)
        self.observer = LoggingObserver(self.metrics)
        self.connection = Connection(
            topology_of(settings.redis_url, MAX_REDIS_CONNECTIONS),
            self.metrics.store.redis_error,
            MAX_REDIS_CONNECTIONS,
            self.metrics.store.unreadable,
        )
        peppers = [each.reveal() for each in (settings.key_pepper, settings.key_pepper_other) if each]
        self.keys = Keys(*peppers)
        self.seals = CodeSeals(*peppers)
        self.pages = PageSeals(*peppers)
        self.changes = RedisChangeNotifier(self.connection, self.keys, settings.max_waiting)
        self.limits = RedisLimits(self.connection, self.keys)
        self.conversions = RedisConversionCounts(self.connection, self.keys)
        self.lists = RedisLists(self.connection)
        told = tell if policy.audit.log else None
        self.audit = RedisAuditLog(self.connection, self.keys, policy.audit, told)
        parts, replicas = (self.connection, self.keys), settings.redis_min_replicas
        self.deadlines = RedisDeadlines(*parts)
        self.used_calls, self.probe = RedisUsedCalls(*parts, replicas), RedisProbe(*parts, replicas)
        self.store = RedisVerificationStore(
            *parts,
            limits=self.limits,
            conversions=self.conversions,
            lists=self.lists,
            audit=self.audit,
            deadlines=self.deadlines,
            min_replicas=replicas,
        )
        self.orders = RedisOrders(self.connection, replicas)
        self.announcer = Announcer(policy)
        self.effects = TransitionEffects(
            self.announcer, policy.conversion, policy.limits_of(Scope.NUMBER_TOTAL, "")
        )
        self.admission = AdmissionControl(
            limits=self.limits,
            lists=self.lists,
            observer=self.observer,
            policy=policy,
            provider_limit=order_limit(tries=len(settings.smsc_urls)),
        )
