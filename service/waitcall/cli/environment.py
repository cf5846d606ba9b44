"""Parts that the commands share: settings, use cases, exit codes for errors, and the ``--operator`` option."""

import getpass
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import click

from waitcall.application.operate import OperatorActions
from waitcall.application.ports import AuditLog
from waitcall.composition import build_operator
from waitcall.configuration.settings import Settings, SettingsMistakes, load_settings
from waitcall.domain.errors import ServiceError

T = TypeVar("T")


def sound_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings. If there are mistakes, print all of them and exit 2."""
    try:
        return load_settings(environ)
    except SettingsMistakes as error:
        for mistake in error.mistakes:
            click.echo(mistake, err=True)
        sys.exit(2)


@contextmanager
def operating() -> Iterator[tuple[OperatorActions, AuditLog]]:
    """Provide the operator's use cases and the audit log. A refusal prints one line and exits 1."""
    with running(build_operator) as built:
        yield built


@contextmanager
def running(build: Callable[[Settings], T]) -> Iterator[T]:
    """Provide what ``build`` makes of the settings. A refusal prints one line and exits 1."""
    # Log lines of the service would mix with the command's output.
    logging.disable(logging.CRITICAL)
    try:
        yield build(sound_settings(os.environ))
    except ServiceError as error:
        named = "".join(f" {name}: {' '.join(texts)}" for name, texts in (error.errors or {}).items())
        raise click.ClickException(f"{error.code}: {error.detail}{named}") from error
    finally:
        logging.disable(logging.NOTSET)


def operator_name(_context: click.Context, _parameter: click.Parameter, given: str | None) -> str:
    """Return the operator's name for the audit stream: the given one, or the user's."""
    if given:
        return given
    try:
        return f"cli-{getpass.getuser()}"
    except (OSError, KeyError):
        # The user of a container may have no name.
        return f"cli-{os.getuid()}"


def read_number(given: str | None) -> str | None:
    """Return the given number; for ``-`` read it from standard input, so that no process list shows it."""
    return sys.stdin.readline().strip() if given == "-" else given


acting = click.option(
    "--operator",
    callback=operator_name,
    help="Name of the operator, for the audit stream. Default: the user's name.",
)
"""The ``--operator`` option of each audited command."""
