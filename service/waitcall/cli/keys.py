"""``waitcall keys``: make, hash and check API keys. A key is never an argument, so no process list shows it."""

import hashlib
import os
import re
import secrets
import sys

import click

from waitcall.cli.console import sound_settings

KEY_PREFIX = "wck_"
_SHORTEST_KEY = 32


@click.group()
def keys() -> None:
    """API keys of clients."""


@keys.command("new")
@click.argument("client")
def new_key(client: str) -> None:
    """Make a key for CLIENT. Print the key for the client, and its hash for WAITCALL_API_KEYS."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    pair = _pair(client, key)
    click.echo(f"key:              {key}")
    click.echo(f"WAITCALL_API_KEYS: {pair}")


@keys.command("hash")
@click.argument("client")
def hash_key(client: str) -> None:
    """Read a key of CLIENT from standard input and print its value for WAITCALL_API_KEYS."""
    key = _read_key()
    if len(key) < _SHORTEST_KEY:
        raise click.ClickException(
            f"A key must have at least {_SHORTEST_KEY} characters; `waitcall keys new` makes one."
        )
    click.echo(f"WAITCALL_API_KEYS: {_pair(client, key)}")


@keys.command("check")
def check_key() -> None:
    """Read a key from standard input and print its client, scopes and purposes. Exit 1 if no client has this key."""
    settings = sound_settings(os.environ)
    name = settings.api_keys.get(_digest(_read_key()))
    if name is None:
        raise click.ClickException("No client has this key.")
    client = settings.policy.clients[name]
    click.echo(f"client:   {name}")
    click.echo(f"scopes:   {', '.join(sorted(client.scopes))}")
    click.echo(f"purposes: {', '.join(sorted(client.purposes))}")


def _read_key() -> str:
    return sys.stdin.readline().strip()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _pair(client: str, key: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", client, re.ASCII):
        raise click.BadParameter("A client's name has a-z, 0-9, - and _, and begins with a letter.")
    return f"{client}={_digest(key)}"
