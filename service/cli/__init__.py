"""The ``waitcall`` command."""

import os
import sys
from pathlib import Path

import click

from service import __version__
from service.bootstrap import build_worker, configure_logging
from service.cli.audit import audit
from service.cli.environment import sound_settings
from service.cli.events import events
from service.cli.keys import keys
from service.cli.operate import block, explain, lists, unblock

CONFIGURATION = "config/gunicorn.conf.py"
"""Of gunicorn, from the directory that the service is started in."""


@click.group()
@click.version_option(__version__, prog_name="waitcall")
def main() -> None:
    """Operate waitcall. Settings come from the environment, as for the service."""


@main.command()
def check() -> None:
    """Check the settings in the environment; exit 2 and name every mistake."""
    sound_settings(os.environ)
    click.echo("The settings are sound.")


@main.command()
def serve() -> None:
    """Run the service: gunicorn with its configuration, in this process, so that signals are its own."""
    program = str(Path(sys.executable).with_name("gunicorn"))
    os.execv(program, [program, "-c", CONFIGURATION, "service.wsgi:app"])  # noqa: S606  # nosec B606  # our own two words


@main.command()
def worker() -> None:
    """Run beside the service: inbox reconciliation, expiry on time, webhooks, balance. Any number of replicas.

    Ends on SIGTERM; probes and metrics on WAITCALL_WORKER_OPS_BIND.
    """
    settings = sound_settings(os.environ)
    configure_logging(settings)
    try:
        working = build_worker(settings)
    except OSError as error:
        raise click.ClickException(f"WAITCALL_WORKER_OPS_BIND: {error.strerror}") from error
    working.run()


for _command in (keys, explain, block, unblock, lists, audit, events):
    main.add_command(_command)
