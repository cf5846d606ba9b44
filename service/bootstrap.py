"""The composition root: the only place that names concrete adapters."""

import logging
import logging.config
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from service import __version__
from service.adapters.http import callbacks, openapi, operations, verifications
from service.adapters.http.app import API_BODY_BYTES, CALLBACK_BODY_BYTES, Surfaces, create_surface
from service.adapters.http.auth import ApiKeys
from service.adapters.redis.connection import Connection, connector
from service.adapters.redis.idempotency import RedisIdempotencyStore
from service.adapters.redis.keys import Keys
from service.adapters.redis.limits import RedisLimits
from service.adapters.redis.store import RedisVerificationStore
from service.adapters.redis.watcher import Watcher
from service.adapters.smsc.callback import SmscCallbackDecoder
from service.adapters.smsc.client import Account, SmscProvider
from service.adapters.telemetry.logging import logging_config
from service.adapters.telemetry.metrics import CONTENT_TYPE, Metrics, exposition
from service.adapters.telemetry.observer import LoggingObserver
from service.application.calls import Calls
from service.application.ports import Clock
from service.application.readiness import Readiness
from service.application.sweep import Sweep
from service.application.verifications import Verifications
from service.domain.numbers import E164, may_be_shown
from service.settings import Settings
from service.sweeper import Sweeper

# The bulkheads of one worker process. config/gunicorn.conf.py gives it 512 threads, so that however many
# requests wait for the provider or for a call, at least 64 threads answer everything else.
MAX_ORDERS_IN_FLIGHT = 128
MAX_WAITING = 320
MAX_REDIS_CONNECTIONS = 600

_log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The one clock of the production process."""
    return datetime.now(UTC)


def build(settings: Settings, *, multiprocess_dir: str | None, clock: Clock = utc_now) -> Surfaces:
    """The whole service as one WSGI callable. Connects to nothing yet."""
    policy = settings.policy
    metrics = Metrics(__version__, policy.clients, policy.purposes)
    observer = LoggingObserver(metrics)
    connection = Connection(connector(settings.redis_url, MAX_REDIS_CONNECTIONS), metrics.redis_error)
    keys = Keys(settings.key_pepper.reveal())
    watcher = Watcher(connection, MAX_WAITING)
    store = RedisVerificationStore(connection, keys, watcher)
    use_cases = Verifications(
        store=store,
        limits=RedisLimits(connection, keys),
        provider=_provider(settings, metrics),
        observer=observer,
        clock=clock,
        policy=policy,
        default_window_seconds=settings.window_seconds,
    )
    sweeper = Sweeper(Sweep(store, use_cases, clock).run)
    decoder = SmscCallbackDecoder(
        settings.callback_hash,
        [secret.reveal() for secret in settings.callback_secrets],
    )
    expose = partial(exposition, metrics.registry, multiprocess_dir)
    surface = partial(
        create_surface,
        keys=ApiKeys(settings.api_keys),
        observer=observer,
        metrics=metrics,
    )
    api = [
        verifications.blueprint(use_cases, RedisIdempotencyStore(connection, keys), clock),
        openapi.blueprint(__version__),
    ]
    handler = [callbacks.blueprint(Calls(store, observer, clock), decoder, observer)]
    ops = [operations.blueprint(Readiness(store), expose, CONTENT_TYPE, __version__)]
    return Surfaces(
        {
            _port(settings.api_bind): surface("api", api, max_body_bytes=API_BODY_BYTES),
            _port(settings.callback_bind): surface("callback", handler, max_body_bytes=CALLBACK_BODY_BYTES),
            _port(settings.ops_bind): surface("ops", ops, max_body_bytes=API_BODY_BYTES),
        },
        start=sweeper.start,
        stop=partial(_stop, watcher, sweeper),
        metrics=metrics,
    )


def configure_logging(settings: Settings) -> None:
    """JSON lines for the whole process, and what an operator should know at start."""
    logging.config.dictConfig(logging_config(settings.log_level))
    if settings.callback_hash == "crc32":
        _log.warning("WAITCALL_CALLBACK_HASH=crc32 is forgeable: use sha1 or md5")


def _provider(settings: Settings, metrics: Metrics) -> SmscProvider:
    credentials = {name: secret.reveal() for name, secret in settings.smsc_credentials.items()}
    account = Account(settings.smsc_urls, credentials, settings.smsc_timeout_seconds)
    shown: Callable[[E164, E164], bool] = partial(may_be_shown, dial_regions=settings.policy.dial_regions)
    return SmscProvider(account, shown, metrics, MAX_ORDERS_IN_FLIGHT)


def _stop(watcher: Watcher, sweeper: Sweeper) -> None:
    sweeper.stop()
    watcher.close()


def _port(bind: str) -> str:
    return bind.rpartition(":")[2]
