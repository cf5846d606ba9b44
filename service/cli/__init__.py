"""The ``waitcall`` command."""

import os
import sys
from pathlib import Path

import click

from service import __version__
from service.bootstrap import build_worker, configure_logging
from service.cli.audit import audit
from service.cli.doctor import doctor
from service.cli.environment import sound_settings
from service.cli.events import events
from service.cli.keys import keys
from service.cli.look import balance, find, replay_callback, show
from service.cli.numbers import numbers
from service.cli.operate import block, explain, lists, unblock
from service.cli.reports import reports
from service.cli.verify import verify
from service.setting_values import SURFACES
from service.settings import weaknesses

CONFIGURATION = "config/gunicorn.conf.py"
"""Of gunicorn, from the directory that the service is started in."""


@click.group()
@click.version_option(__version__, prog_name="waitcall")
def main() -> None:
    """Operate waitcall. Settings come from the environment, as for the service.

    Exit codes: 0 done; 1 refused, or failed; 2 wrong settings or options; 3 the answer is no (verify: not proven,
    reports reconcile: a difference, balance: low).
    """


@main.command()
def check() -> None:
    """Check the settings in the environment; exit 2 and name every mistake. Warn of each loosening."""
    for weakness in weaknesses(sound_settings(os.environ)):
        click.echo(f"Warning: {weakness}.", err=True)
    click.echo("The settings are sound.")


@main.command()
@click.option(
    "--surface",
    "surfaces",
    type=click.Choice(SURFACES),
    multiple=True,
    help="Serve this surface, and operations; may be repeated. Takes the place of WAITCALL_SURFACES.",
)
def serve(surfaces: tuple[str, ...]) -> None:
    """Run the service: gunicorn with its configuration, in this process, so that signals are its own."""
    environ = dict(os.environ)
    if surfaces:
        environ["WAITCALL_SURFACES"] = ",".join(surfaces)
        environ.pop("WAITCALL_SURFACES_FILE", None)
    program = str(Path(sys.executable).with_name("gunicorn"))
    os.execve(program, [program, "-c", CONFIGURATION, "service.wsgi:app"], environ)  # noqa: S606  # nosec B606  # our own words


@main.command()
def worker() -> None:
    """Run beside the service: inbox reconciliation, expiry on time, webhooks, balance. Any number of replicas.

    Ends on SIGTERM; probes and metrics on WAITCALL_WORKER_OPS_BIND.
    """
    # A worker needs the provider's account and the webhooks' secrets, whatever a tree beside it serves.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WAITCALL_SURFACES")}
    settings = sound_settings(environ)
    configure_logging(settings)
    try:
        working = build_worker(settings)
    except OSError as error:
        raise click.ClickException(f"WAITCALL_WORKER_OPS_BIND: {error.strerror}") from error
    working.run()


for _command in (
    *(keys, explain, block, unblock, lists, audit, events),
    *(doctor, verify, show, find, balance, replay_callback, numbers, reports),
):
    main.add_command(_command)
