"""gunicorn -c config/gunicorn.conf.py service.wsgi:app"""

import atexit
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path

from service.adapters.telemetry.logging import logging_config
from service.handover import announce_reload, hand_over, handed_over
from service.settings import SettingsMistakes, load_settings

# The launcher of `make run` sets this name before it runs this file; nothing in the environment can.
_development = bool(globals().get("development_stack", False))

# gunicorn runs this file again on SIGHUP: the settings, the policy and every secret's file are read anew, new workers
# start with them, and the old ones finish what they have. Broken settings must not end a running service.
_mistakes: list[str] = []
try:
    _settings = load_settings(os.environ, development=_development)
except SettingsMistakes as _error:
    _mistakes = list(_error.mistakes)
    _settings = handed_over()
if _settings is None:
    for _mistake in _mistakes:
        print(_mistake, file=sys.stderr)  # noqa: T201  there is no logger yet, and this is for a person
    raise SystemExit(2)
hand_over(_settings)

bind = _settings.binds
workers = _settings.workers
worker_class = "service.adapters.http.gunicorn_worker.Worker"
logger_class = "service.adapters.http.gunicorn_worker.Logger"
# Of each listener, in each worker: everybody who may wait, and a thousand more.
worker_connections = _settings.max_waiting + _settings.max_orders + 1000
# Each of them is a file, and so is each connection to Redis and each one that lingers: more than the 1024 that
# many systems begin with. Processes may raise their own limit up to the hard one.
_files, _most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
_wanted_files = 4096 + 2 * worker_connections
if _files < _wanted_files:
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_wanted_files, _most_files), _most_files))
# Longer than the longest thing a request may do: a long poll of 30 s.
timeout = 60
# An ingress keeps its connections for a minute or so; the side that closes first must not be us.
keepalive = 75
# Long polls are answered at once on SIGTERM; what is left is an order within its budget.
graceful_timeout = 30 + _settings.drain_seconds
# An SMS in the query string: 1000 Cyrillic letters are 6000 bytes.
limit_request_line = 8190
# An ingress and a tracing library add a dozen headers; nobody adds hundreds.
limit_request_fields = 64
limit_request_field_size = 8190
# No proxy may rewrite the path or the scheme by headers. Whose X-Forwarded-For counts is ours to say:
# WAITCALL_TRUSTED_HOPS.
forwarded_allow_ips = ""
# An id may well be in the path that gunicorn would log; the service logs the route.
accesslog = None
logconfig_dict = logging_config(_settings.log_level)
# Memory-backed where there is one: a slow disk must not look like a hung worker.
_shared_memory = "/dev/shm"  # noqa: S108  # nosec B108  # gunicorn's own advice; it opens unlinked files there
worker_tmp_dir = _shared_memory if os.access(_shared_memory, os.W_OK) else None
# gevent remembers who spawned whom for debuggers, at a kilobyte or two a connection.
os.environ.setdefault("GEVENT_TRACK_GREENLET_TREE", "false")
# No control socket: nothing of ours talks to it, and a read-only root has no place for it.
control_socket_disable = True

_own_directory = not os.environ.get("PROMETHEUS_MULTIPROC_DIR")
if _own_directory:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="waitcall-metrics-")
_metrics = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
# It reads the directory's name when it is imported. Before gevent is there, so that its lock is the system's own, which
# costs next to nothing where nobody waits; nothing under it gives way to others.
from prometheus_client import multiprocess  # noqa: E402  not before the name is set


def on_starting(server):  # noqa: ANN001, ANN201, ARG001  gunicorn's hook
    # What an earlier run counted is over; only Prometheus's own files are touched.
    _metrics.mkdir(parents=True, exist_ok=True)
    for file in _metrics.glob("*.db"):
        file.unlink()
    if _own_directory:
        # Registered in the master alone, which outlives its workers.
        master = os.getpid()
        atexit.register(lambda: os.getpid() == master and shutil.rmtree(_metrics, ignore_errors=True))


def on_reload(server):  # noqa: ANN001, ANN201  gunicorn's hook
    # The old workers are told to leave after this. Only those of a replica that ends say so at /readyz first.
    announce_reload()
    for mistake in _mistakes:
        server.log.error("SIGHUP: the last good settings stay: %s", mistake)
    if not _mistakes:
        server.log.info("SIGHUP: the settings were read again")


def child_exit(server, worker):  # noqa: ANN001, ANN201, ARG001  gunicorn's hook
    multiprocess.mark_process_dead(worker.pid)
