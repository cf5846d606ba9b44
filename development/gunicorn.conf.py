"""gunicorn's configuration for development: config/gunicorn.conf.py, but with development secrets allowed."""

import runpy
from pathlib import Path

_production = Path(__file__).resolve().parent.parent / "config" / "gunicorn.conf.py"
globals().update(runpy.run_path(str(_production), init_globals={"development_stack": True}))
