"""The service as ``make run`` starts it: the production entry, but development secrets are admitted."""

import os

from service.bootstrap import build, configure_logging
from service.settings import load_settings

_settings = load_settings(os.environ, development=True)
configure_logging(_settings)
app = build(_settings, multiprocess_dir=os.environ.get("PROMETHEUS_MULTIPROC_DIR"))
