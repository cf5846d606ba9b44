"""``waitcall reports``: deferred tasks of the provider, their files, and a comparison with our audit stream."""

import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from waitcall.application.reconcile_report import (
    REFUSED,
    SENT,
    Reconciled,
    ReportUnreadable,
    read_report,
    reconcile,
)
from waitcall.cli.environment import acting, running
from waitcall.cli.tables import as_json, show_object, show_rows
from waitcall.composition.cli_context import build_cli_context

_COLUMNS = ("id", "name", "status", "created", "started", "file")
DIFFERENT = 3
"""Exit code of a reconciliation that found a difference."""


@click.group()
def reports() -> None:
    """Reports that the provider makes on request."""


@reports.command("list")
@click.option("--after", "after_id", default=0, help="Only tasks after this id.")
@click.option("--count", default=100, show_default=True, help="Most tasks to list.")
@as_json
@acting
def list_reports(*, after_id: int, count: int, json_wanted: bool, operator: str) -> None:
    """List deferred tasks with their status. The file of a task exists once its status is `done`."""
    with running(build_cli_context) as context:
        rows = [asdict(each) for each in context.account.tasks(operator, after_id, count)]
    show_rows(rows, _COLUMNS, json_wanted=json_wanted)


@reports.command("download")
@click.argument("task_id", type=int)
@click.option(
    "--to",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write. Default: report-ID.csv.",
)
@acting
def download(*, task_id: int, target: Path | None, operator: str) -> None:
    """Download the file of TASK_ID. An interrupted download is continued."""
    target = target or Path(f"report-{task_id}.csv")
    part = target.with_name(target.name + ".part")
    offset = part.stat().st_size if part.exists() else 0
    with running(build_cli_context) as context:
        got = context.account.download(operator, task_id, offset)
        # The file holds people's phone numbers, so only its owner may read it.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with (
            os.fdopen(descriptor, "ab") as file,
            click.progressbar(length=got.size or 0, label=target.name, file=sys.stderr) as bar,
        ):
            for chunk in got.chunks:
                file.write(chunk)
                bar.update(len(chunk))
    part.replace(target)
    click.echo(f"{target}: {target.stat().st_size} bytes")


@reports.command("reconcile")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--since", type=click.DateTime(), help="Start of the audit entries to compare, UTC. Default: 31 days ago."
)
@click.option(
    "--until", type=click.DateTime(), help="End of the audit entries to compare, UTC. Default: now."
)
@click.option(
    "--column", "columns", multiple=True, help="Name of a column in FILE: id=NAME, cost=NAME, country=NAME."
)
@as_json
@acting
def reconcile_report(  # noqa: PLR0913  the command's options
    *,
    file: Path,
    since: datetime | None,
    until: datetime | None,
    columns: tuple[str, ...],
    json_wanted: bool,
    operator: str,
) -> None:
    """Compare FILE with our audit stream. Exit 3 if they differ."""
    names = dict(each.partition("=")[::2] for each in columns)
    last = until.replace(tzinfo=UTC) if until else datetime.now(UTC)
    first = since.replace(tzinfo=UTC) if since else last - timedelta(days=31)
    try:
        rows = read_report(file.read_bytes(), names)
    except ReportUnreadable as error:
        raise click.ClickException(f"{file}: {error}") from error
    with running(build_cli_context) as context:
        found = reconcile(rows, context.account.audited(operator, first, last, (SENT, REFUSED)))
    _tell(found, json_wanted=json_wanted)
    if found.unknown or found.unsent or found.refused_but_sent:
        raise click.exceptions.Exit(DIFFERENT)


def _tell(found: Reconciled, *, json_wanted: bool) -> None:
    answer = asdict(found) | {"cost": {country: str(money) for country, money in found.cost.items()}}
    if json_wanted:
        show_object(answer, json_wanted=True)
        return
    counts = ("unknown", "unsent", "refused_but_sent")
    show_object({"matched": found.matched} | {name: len(answer[name]) for name in counts}, json_wanted=False)
    for name in counts:
        for message_id in answer[name]:
            click.echo(f"{name.replace('_', ' ')}: {message_id}")
    click.echo()
    costs = [{"country": country, "cost": money} for country, money in answer["cost"].items()]
    show_rows(costs, ("country", "cost"), json_wanted=False)
