"""Command line of the examples: ``python -m examples login | password_reset``. Environment variables say where waitcall is."""

import os
import sys

from waitcall_client import Waitcall, Webhooks
from werkzeug.security import generate_password_hash
from werkzeug.serving import make_server

from examples.login.app import login_app
from examples.password_reset.app import reset_app

KNOWN = "+79991234567"
"""Number that has an account, so that its password can be reset."""


def main() -> None:
    """Serve one example until interrupted."""
    name, port = sys.argv[1], int(os.environ["PORT"])
    waitcall = Waitcall(os.environ["WAITCALL_API"], os.environ["WAITCALL_KEY"])
    links = {name: os.environ[f"{name.upper()}_URL"] for name in ("login", "reset", "handset")}
    if name == "login":
        webhooks = Webhooks([os.environ["WEBHOOK_SECRET"]])
        app = login_app(waitcall, webhooks, links["login"], os.environ["WAITCALL_PAGES"], links)
    else:
        app = reset_app(waitcall, {KNOWN: generate_password_hash("an old password")}, links["reset"], links)
    make_server(os.environ.get("HOST", "127.0.0.1"), port, app, threaded=True).serve_forever()


if __name__ == "__main__":
    main()
