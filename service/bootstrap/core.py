"""Parts that the service, its worker and the command line share: the store and the adapters around it."""

from datetime import UTC, datetime

from service.adapters.redis.audit import RedisAuditLog
from service.adapters.redis.change_notifier import RedisChangeNotifier
from service.adapters.redis.connection import Connection
from service.adapters.redis.conversions import RedisConversions
from service.adapters.redis.deadlines import RedisDeadlines
from service.adapters.redis.keys import Keys
from service.adapters.redis.limits import RedisLimits
from service.adapters.redis.lists import RedisLists
from service.adapters.redis.orders import RedisOrders
from service.adapters.redis.probe import RedisProbe
from service.adapters.redis.store import RedisVerificationStore
from service.adapters.redis.topology import topology_of
from service.adapters.redis.used_calls import RedisUsedCalls
from service.adapters.smsc.client import order_limit
from service.adapters.telemetry.audit import tell
from service.adapters.telemetry.metrics import Metrics
from service.application.admission import Admission
from service.application.announcement import Announcer
from service.application.effects import TransitionEffects
from service.application.observer import Observer
from service.application.operator import Operator
from service.application.ports import Clock
from service.configuration.settings import Settings
from service.domain.code import CodeSeals
from service.domain.hosted import PageSeals
from service.domain.limits import Scope

MAX_REDIS_CONNECTIONS = 64
"""Maximum number of connections of one process to each server. More would not make Redis faster."""


def utc_now() -> datetime:
    """Return the current time, UTC. This is the only clock in production."""
    return datetime.now(UTC)


class Core:
    """Store and adapters that the service, its worker and the command line share."""

    def __init__(
        self,
        settings: Settings,
        telling: Observer,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        policy = settings.policy
        self.connection = Connection(
            topology_of(settings.redis_url, MAX_REDIS_CONNECTIONS),
            metrics.store.redis_error,
            MAX_REDIS_CONNECTIONS,
            metrics.store.unreadable,
        )
        peppers = [each.reveal() for each in (settings.key_pepper, settings.key_pepper_other) if each]
        self.keys = Keys(*peppers)
        self.seals = CodeSeals(*peppers)
        self.pages = PageSeals(*peppers)
        self.changes = RedisChangeNotifier(self.connection, self.keys, settings.max_waiting)
        self.limits = RedisLimits(self.connection, self.keys)
        self.conversions = RedisConversions(self.connection, self.keys)
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
        self.observer = telling
        self.clock, self.policy = clock, policy
        self.admission = Admission(
            limits=self.limits,
            lists=self.lists,
            observer=telling,
            policy=policy,
            provider_limit=order_limit(tries=len(settings.smsc_urls)),
        )

    def operator(self) -> Operator:
        """Return the operator's use cases."""
        return Operator(
            store=self.store,
            admission=self.admission,
            limits=self.limits,
            conversions=self.conversions,
            lists=self.lists,
            audit=self.audit,
            observer=self.observer,
            effects=self.effects,
            clock=self.clock,
            policy=self.policy,
        )
