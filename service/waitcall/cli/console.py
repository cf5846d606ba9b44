"""Parts that the commands share: settings, use cases, exit codes for errors, common options, and output.

Output is tables for people and JSON for programs.
"""

import getpass
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from waitcall.composition.use_cases import CliContext, build_cli_context
from waitcall.configuration.settings import Settings, SettingsMistakes, load_settings
from waitcall.domain.errors import ServiceError

DEVELOPMENT = object()
"""Object of click's root context with which the development secrets are allowed."""
_WIDE = 10_000


def sound_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings. If there are mistakes, print all of them and exit 2.

    The command of `make run` passes DEVELOPMENT as click's ``obj``. No option and no variable can do that.
    """
    development = click.get_current_context().find_root().obj is DEVELOPMENT
    try:
        return load_settings(environ, development=development)
    except SettingsMistakes as error:
        for mistake in error.mistakes:
            click.echo(mistake, err=True)
        sys.exit(2)


@contextmanager
def running() -> Iterator[CliContext]:
    """Provide the use cases. A refusal prints one line and exits 1."""
    # Log lines of the service would mix with the command's output.
    logging.disable(logging.CRITICAL)
    try:
        yield build_cli_context(sound_settings(os.environ))
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


as_json = click.option("--json", "json_wanted", is_flag=True, help="Print JSON, for programs.")
acting = click.option(
    "--operator",
    callback=operator_name,
    help="Name of the operator, for the audit stream. Default: the user's name.",
)
"""The ``--operator`` option of each audited command."""
reason_option = click.option("--reason", required=True, help="Reason, for the audit stream.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, json_wanted: bool) -> None:
    """Print one line for each row; as JSON, a list of objects."""
    found = list(rows)
    if json_wanted:
        print_json(found)
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in found:
        table.add_row(*(_text(row.get(column)) for column in columns))
    _print(table)


def show_object(answer: Mapping[str, Any], *, json_wanted: bool) -> None:
    """Print one line for each member; as JSON, one object."""
    if json_wanted:
        print_json(answer)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in answer.items():
        table.add_row(name.replace("_", " "), _text(value))
    _print(table)


def print_json(answer: Any) -> None:
    """Print JSON. Amounts of money and times are written as texts."""
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False, default=str))


def _print(table: Table) -> None:
    # Into a pipe, print wide lines, so that nothing is cut off. No markup, because text in brackets is not a style here.
    console = Console(
        file=sys.stdout, highlight=False, markup=False, width=None if sys.stdout.isatty() else _WIDE
    )
    console.print(table)


def _text(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(each) for each in value) or "-"
    return str(value)
