"""Output of commands: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

_WIDE = 10_000

as_json = click.option("--json", "json_wanted", is_flag=True, help="Print JSON, for programs.")


def show_rows(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, json_wanted: bool) -> None:
    """Print one line for each row; as JSON, a list of objects."""
    found = list(rows)
    if json_wanted:
        _print_json(found)
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
        _print_json(answer)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in answer.items():
        table.add_row(name.replace("_", " "), _text(value))
    _print(table)


def _print_json(answer: Any) -> None:
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
