"""config/gunicorn.conf.py as it stands, but development secrets are admitted."""

import runpy
from pathlib import Path

_production = Path(__file__).resolve().parent.parent / "config" / "gunicorn.conf.py"
globals().update(runpy.run_path(str(_production), init_globals={"development_stack": True}))
