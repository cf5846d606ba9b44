"""``waitcall keys``: make, hash and check API keys. A key is never an argument, so no process list shows it."""

import hashlib
import os
import re
import secrets
import sys

import click

from waitcall.cli.console import as_json, examples, show_pairs, sound_settings

KEY_PREFIX = "wck_"
_SHORTEST_KEY = 32


@click.group()
def keys() -> None:
    """API keys of clients."""


@keys.command("new", epilog=examples("waitcall keys new web"))
@click.argument("client")
@as_json
def new_key(*, client: str, json_wanted: bool) -> None:
    """Make a key for CLIENT. Print the key for the client, and its hash for WAITCALL_API_KEYS."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    show_pairs({"key": key, "WAITCALL_API_KEYS": _pair(client, key)}, json_wanted=json_wanted)


@keys.command("hash", epilog=examples("waitcall keys hash web < key.txt"))
@click.argument("client")
@as_json
def hash_key(*, client: str, json_wanted: bool) -> None:
    """Hash a key of CLIENT for WAITCALL_API_KEYS. The key is read from standard input."""
    key = _read_key()
    if len(key) < _SHORTEST_KEY:
        raise click.ClickException(
            f"A key must have at least {_SHORTEST_KEY} characters; `waitcall keys new` makes one."
        )
    show_pairs({"WAITCALL_API_KEYS": _pair(client, key)}, json_wanted=json_wanted)


@keys.command("check", epilog=examples("waitcall keys check < key.txt"))
@as_json
def check_key(*, json_wanted: bool) -> None:
    """Print the client, scopes and purposes of a key. The key is read from standard input. Exit 1 if no client has it."""
    settings = sound_settings(os.environ)
    name = settings.api_keys.get(_digest(_read_key()))
    if name is None:
        raise click.ClickException("No client has this key.")
    client = settings.policy.clients[name]
    answer = {"client": name, "scopes": sorted(client.scopes), "purposes": sorted(client.purposes)}
    show_pairs(answer, json_wanted=json_wanted)


def _read_key() -> str:
    return sys.stdin.readline().strip()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _pair(client: str, key: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", client, re.ASCII):
        raise click.BadParameter("A client's name has a-z, 0-9, - and _, and begins with a letter.")
    return f"{client}={_digest(key)}"
