"""WSGI app of production: ``gunicorn -c config/gunicorn.conf.py waitcall.wsgi:app``."""

import os

from waitcall.composition import build, configure_logging
from waitcall.configuration.settings import kept_settings, load_settings

_settings = kept_settings() or load_settings(os.environ)
configure_logging(_settings)
app = build(_settings, multiprocess_dir=os.environ.get("PROMETHEUS_MULTIPROC_DIR"), greenlets=True)
