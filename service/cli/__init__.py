"""The ``waitcall`` command."""

import os

import click

from service import __version__
from service.cli.audit import audit
from service.cli.environment import sound_settings
from service.cli.keys import keys
from service.cli.operate import block, explain, lists, unblock


@click.group()
@click.version_option(__version__, prog_name="waitcall")
def main() -> None:
    """Operate waitcall. Settings come from the environment, as for the service."""


@main.command()
def check() -> None:
    """Check the settings in the environment; exit 2 and name every mistake."""
    sound_settings(os.environ)
    click.echo("The settings are sound.")


for _command in (keys, explain, block, unblock, lists, audit):
    main.add_command(_command)
