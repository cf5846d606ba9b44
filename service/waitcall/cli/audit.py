"""``waitcall audit``."""

import json
from datetime import UTC, datetime

import click

from waitcall.cli.environment import operating, operator_name, read_number
from waitcall.domain.numbers import E164

_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@click.group()
def audit() -> None:
    """The audit stream."""


@audit.command("export")
@click.option("--since", type=click.DateTime(), help="Start of the export, UTC. Default: the oldest entry.")
@click.option("--until", type=click.DateTime(), help="End of the export, UTC. Default: now.")
@click.option("--number", help="Only entries about this number (`-`: read it from standard input).")
@click.option(
    "--operator",
    callback=operator_name,
    help="Name of the operator, for the audit stream. Default: the user's name.",
)
def export(since: datetime | None, until: datetime | None, number: str | None, operator: str) -> None:
    """Print the audit stream as JSON lines, oldest first. The export is itself audited."""
    text = read_number(number)
    with operating() as (use_cases, stream):
        phone_number = E164.parse(text).value if text else None
        use_cases.exported(operator, phone_number)
        first = since.replace(tzinfo=UTC) if since else _BEGINNING
        last = until.replace(tzinfo=UTC) if until else datetime.now(UTC)
        for entry in stream.read(first, last, phone_number):
            click.echo(json.dumps(entry, ensure_ascii=False, sort_keys=True))
