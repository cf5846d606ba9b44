"""What every command starts from: the settings, the use cases, and errors as exit codes."""

import getpass
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import click

from service.application.audit import AuditLog
from service.application.operator import Operator
from service.bootstrap import build_operator
from service.domain.errors import ServiceError
from service.settings import Settings, SettingsMistakes, load_settings

T = TypeVar("T")


def sound_settings(environ: Mapping[str, str]) -> Settings:
    """The settings, or exit 2 with every mistake."""
    try:
        return load_settings(environ)
    except SettingsMistakes as error:
        for mistake in error.mistakes:
            click.echo(mistake, err=True)
        sys.exit(2)


@contextmanager
def operating() -> Iterator[tuple[Operator, AuditLog]]:
    """The operator's use cases; a refusal is one line and exit 1."""
    with running(build_operator) as built:
        yield built


@contextmanager
def running(build: Callable[[Settings], T]) -> Iterator[T]:
    """What a command speaks through; a refusal is one line and exit 1."""
    # The answer is for a person or a program; the service's own lines would stand between.
    logging.disable(logging.CRITICAL)
    try:
        yield build(sound_settings(os.environ))
    except ServiceError as error:
        named = "".join(f" {name}: {' '.join(texts)}" for name, texts in (error.errors or {}).items())
        raise click.ClickException(f"{error.code}: {error.detail}{named}") from error
    finally:
        logging.disable(logging.NOTSET)


def operator_name(_context: click.Context, _parameter: click.Parameter, given: str | None) -> str:
    """Who acts, as the audit stream will say."""
    if given:
        return given
    try:
        return f"cli-{getpass.getuser()}"
    except (OSError, KeyError):
        # A container's user may have no name.
        return f"cli-{os.getuid()}"


def read_number(given: str | None) -> str | None:
    """``-`` reads the number from standard input, so that no process list shows it."""
    return sys.stdin.readline().strip() if given == "-" else given


acting = click.option(
    "--operator", callback=operator_name, help="Who acts, for the audit stream. Default: the user's name."
)
"""Of every command that is audited."""
