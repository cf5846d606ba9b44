"""The ``waitcall`` command."""

import hashlib
import os
import re
import secrets
import sys

import click

from service import __version__
from service.settings import SettingsMistakes, load_settings

KEY_PREFIX = "wck_"


@click.group()
@click.version_option(__version__, prog_name="waitcall")
def main() -> None:
    """Operate waitcall."""


@main.command()
def check() -> None:
    """Check the settings in the environment; exit 2 and name every mistake."""
    try:
        load_settings(os.environ)
    except SettingsMistakes as error:
        for mistake in error.mistakes:
            click.echo(mistake, err=True)
        sys.exit(2)
    click.echo("The settings are sound.")


@main.group()
def keys() -> None:
    """API keys of clients."""


@keys.command("new")
@click.argument("client")
def new_key(client: str) -> None:
    """Make a key for CLIENT: the key itself, for the client; its hash, for WAITCALL_API_KEYS."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", client, re.ASCII):
        raise click.BadParameter("a client is named with a-z, 0-9, - and _, from a letter on")
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    click.echo(f"key:              {key}")
    click.echo(f"WAITCALL_API_KEYS: {client}={hashlib.sha256(key.encode()).hexdigest()}")
