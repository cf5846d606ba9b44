"""gunicorn's configuration: ``gunicorn -c config/gunicorn.conf.py waitcall.wsgi:app``. The package has it, for `waitcall serve`."""

import runpy

globals().update(runpy.run_module("waitcall.gunicorn_conf"))
