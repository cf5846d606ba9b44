"""gunicorn's configuration for development: that of production, but with development secrets allowed."""

import runpy

globals().update(runpy.run_module("waitcall.gunicorn_conf", init_globals={"development_stack": True}))
