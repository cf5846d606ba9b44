"""Parts that the commands share: settings, use cases, exit codes, common options, examples, and output.

Output is tables for people and JSON for programs.
"""

import getpass
import json
import logging
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import click
from rich.console import Console

from waitcall.composition.use_cases import CliContext, build_cli_context
from waitcall.configuration.settings import Settings, SettingsMistakes, load_settings
from waitcall.domain.errors import ServiceError

DEVELOPMENT = object()
"""Object of click's root context with which the development secrets are allowed."""
_NARROWEST = 20
"""Fewest columns that the last column of a table gets."""


class ExitCode(IntEnum):
    """Exit codes of the commands."""

    DONE = 0
    """The command did what it was asked."""
    FAILED = 1
    """The command was refused or failed; one line on standard error says why. `doctor`: a check failed."""
    MISTAKEN = 2
    """Settings or options are wrong; standard error names each mistake."""
    NEGATIVE = 3
    """The result is negative: `verify` is not proven, `reports reconcile` found differences, or `balance` is low."""


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
        sys.exit(ExitCode.MISTAKEN)


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


def examples(*lines: str) -> str:
    """Return the text below a command's help that shows how the command is used."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, json_wanted: bool) -> None:
    """Print one line for each row; as JSON, a list of objects."""
    found = list(rows)
    if json_wanted:
        print_json(found)
        return
    head = [column.replace("_", " ") for column in columns]
    lines = _aligned([head, *([_text(row.get(column)) for column in columns] for row in found)])
    say(next(lines), "bold")
    for line in lines:
        say(line)


def show_object(answer: Mapping[str, Any], *, json_wanted: bool) -> None:
    """Print one line for each member; as JSON, one object."""
    if json_wanted:
        print_json(answer)
        return
    for line in _aligned([name.replace("_", " "), _text(value)] for name, value in answer.items()):
        say(line)


def show_pairs(answer: Mapping[str, Any], *, json_wanted: bool) -> None:
    """Print one line ``name: value`` for each member, with the names as settings have them; as JSON, one object."""
    if json_wanted:
        print_json(answer)
        return
    width = max(map(len, answer)) + 1
    for name, value in answer.items():
        click.echo(f"{f'{name}:':{width}} {_text(value)}")


def print_json(answer: Any) -> None:
    """Print JSON. Amounts of money and times are written as texts."""
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False, default=str))


def say(line: str, style: str | None = None) -> None:
    """Print a line as it is. It has colours only on a terminal, and none if NO_COLOR is set."""
    # No markup, because text in brackets is not a style here. A terminal that is too narrow breaks the line itself, so a
    # copied id is whole.
    Console(file=sys.stdout, highlight=False, markup=False, emoji=False).print(
        line, style=style, soft_wrap=True
    )


def _aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Return the lines of a table. On a terminal the last column is wrapped between words, never inside one."""
    found = list(rows)
    widths = [max(map(len, column)) for column in list(zip(*found, strict=True))[:-1]]
    indent = sum(width + 2 for width in widths)
    room = max(Console(file=sys.stdout).width - indent, _NARROWEST) if sys.stdout.isatty() else None
    for row in found:
        start = "".join(cell.ljust(width + 2) for cell, width in zip(row, widths, strict=False))
        last = [row[-1]]
        if room is not None:
            last = textwrap.wrap(row[-1], room, break_long_words=False, break_on_hyphens=False) or [""]
        for part in last:
            # A word that does not fit beside the other columns gets a line of its own, from the first column.
            if room is not None and len(part) > room:
                yield from (start.rstrip(), part) if start.strip() else (part,)
            else:
                yield f"{start}{part}".rstrip()
            start = " " * indent


def _text(value: Any) -> str:
    if value is None or value in ("", {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(each) for each in value) or "-"
    return str(value)
