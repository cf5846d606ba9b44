"""gunicorn's configuration. ``waitcall serve`` and ``config/gunicorn.conf.py`` run this file; nothing imports it."""

import atexit
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

# gunicorn has put the current directory before all installed packages. Move it behind them, so that a file there, such as
# redis.py, is not imported in the place of an installed module.
if sys.path[0] == str(Path.cwd()):
    sys.path.append(sys.path.pop(0))

from waitcall.adapters.telemetry.logging import logging_config
from waitcall.configuration.settings import (
    Settings,
    SettingsMistakes,
    announce_reload,
    keep_settings,
    kept_settings,
    load_settings,
)
from waitcall.processes.listeners import gunicorn_bind

# `make run` sets this name before it runs this file. No environment variable can set it.
_development = bool(globals().get("development_stack", False))

# gunicorn runs this file again on SIGHUP. It reads the settings, the policy and every secret's file again, starts new
# workers with them, and lets the old ones finish their requests. Broken settings must not end a running service.
_mistakes: list[str] = []
_settings: Settings | None
try:
    _settings = load_settings(os.environ, development=_development)
except SettingsMistakes as _error:
    _mistakes = list(_error.mistakes)
    _settings = kept_settings()
if _settings is None:
    for _mistake in _mistakes:
        print(_mistake, file=sys.stderr)  # noqa: T201  no logger is configured yet
    raise SystemExit(2)
keep_settings(_settings)

bind = [gunicorn_bind(each) for each in _settings.binds]
workers = _settings.workers
worker_class = "waitcall.processes.gunicorn_worker.DrainingWorker"
logger_class = "waitcall.processes.gunicorn_worker.Logger"
# Connections of each listener in each worker: one for every request that may wait, and a thousand more.
worker_connections = _settings.max_waiting + _settings.max_orders + 1000
# Every connection is an open file, also those to Redis and those that are closing. That can be more than the usual limit
# of 1024. A process may raise its own limit up to the hard limit.
_files, _most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
_wanted_files = 4096 + 2 * worker_connections
if _files < _wanted_files:
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_wanted_files, _most_files), _most_files))
# Seconds. It must be longer than the longest request, which is a long poll of 30 s.
timeout = 60
# Seconds. An ingress keeps idle connections for about a minute, and must close them before we do.
keepalive = 75
# Seconds. On SIGTERM long polls are answered at once, so only orders remain, which take less than 30 s.
graceful_timeout = 30 + _settings.drain_seconds
# A callback may have a text in its query string, and 1000 Cyrillic letters are 6000 bytes there.
limit_request_line = 8190
# An ingress and a tracing library together add about a dozen headers.
limit_request_fields = 64
limit_request_field_size = 8190
# No proxy may change the path or the scheme by headers. WAITCALL_TRUSTED_HOPS says which X-Forwarded-For entries count.
forwarded_allow_ips = ""
# gunicorn would log paths, which contain ids. The service logs each request with its route instead.
accesslog = None
logconfig_dict = logging_config(_settings.log_level)
# Keep the workers' heartbeat files in memory, so that a slow disk does not look like a hung worker.
_shared_memory = "/dev/shm"  # noqa: S108  # nosec B108  # gunicorn's own advice; it opens unlinked files there
worker_tmp_dir = _shared_memory if os.access(_shared_memory, os.W_OK) else None
# Without this gevent remembers for debuggers which greenlet spawned which, in one or two kB for each connection.
os.environ.setdefault("GEVENT_TRACK_GREENLET_TREE", "false")
# glibc waits five seconds for DNS, twice, and each step would wait for that. With one second 503 comes within the contract's
# five while DNS does not answer (docs/adr/0060).
os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:1")
# Nothing uses gunicorn's control socket, and a read-only root filesystem has no place for it.
control_socket_disable = True

_own_directory = not os.environ.get("PROMETHEUS_MULTIPROC_DIR")
if _own_directory:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="waitcall-metrics-")
_metrics = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
# Import it here for two reasons. It reads the directory's name at import. And before gevent patches threading it gets the
# system's lock, which is much cheaper. That is safe because no greenlet switch happens while the lock is held.
from prometheus_client import multiprocess  # noqa: E402  the directory's name must be set before


def on_starting(_server: Any) -> None:
    # Counts of an earlier run must not be added. Remove only Prometheus's files.
    _metrics.mkdir(parents=True, exist_ok=True)
    for file in _metrics.glob("*.db"):
        file.unlink()
    if _own_directory:
        atexit.register(_remove_metrics, os.getpid())


def _remove_metrics(master: int) -> None:
    # Only the master removes the directory, because it outlives the workers, which inherit this function.
    if os.getpid() == master:
        shutil.rmtree(_metrics, ignore_errors=True)


def on_reload(server: Any) -> None:
    # The old workers stop after this hook. They must stay ready at /readyz, unlike those of a replica that ends.
    announce_reload()
    for mistake in _mistakes:
        server.log.error("SIGHUP: the last good settings stay: %s", mistake)
    if not _mistakes:
        server.log.info("SIGHUP: the settings were read again")


def child_exit(_server: Any, worker: Any) -> None:
    multiprocess.mark_process_dead(worker.pid)
