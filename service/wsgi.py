"""WSGI app of production: ``gunicorn -c config/gunicorn.conf.py service.wsgi:app``."""

import os

from service.bootstrap import build, configure_logging
from service.configuration.last_good import kept_settings
from service.configuration.settings import load_settings

_settings = kept_settings() or load_settings(os.environ)
configure_logging(_settings)
app = build(_settings, multiprocess_dir=os.environ.get("PROMETHEUS_MULTIPROC_DIR"), greenlets=True)
