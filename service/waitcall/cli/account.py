"""``waitcall balance``, ``numbers`` and ``reports``: our account at the provider.

Renting a number costs money, so it is never automatic.
"""

import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from waitcall.adapters.http.answers import rfc3339
from waitcall.application.provider_account import DedicatedNumber
from waitcall.application.read_report import Report, ReportUnreadable, read_report
from waitcall.application.reconcile_report import REFUSED, SENT, Reconciled, reconcile
from waitcall.cli.console import (
    ExitCode,
    acting,
    as_json,
    examples,
    print_json,
    read_number,
    reason_option,
    running,
    show_object,
    show_rows,
    yes_option,
)
from waitcall.domain.numbers import E164

_NUMBER_COLUMNS = ("phone_number", "state", "kind", "current_cost", "cost", "info")
_TASK_COLUMNS = ("id", "name", "status", "created", "started", "file")
_UNCERTAIN = (
    "The provider took the request, but did not say what it did, and its list could not be read. "
    "Look at `waitcall numbers list` in a minute."
)


@click.command(epilog=examples("waitcall balance", "waitcall balance --json"))
@as_json
def balance(*, json_wanted: bool) -> None:
    """Show the balance at the provider. It is in the account's currency. Exit 3 if it is below WAITCALL_LOW_BALANCE."""
    with running() as context:
        money, low = context.smsc.balance(), context.settings.low_balance
        show_object({"balance": str(money), "low": money < low}, json_wanted=json_wanted)
        if money < low:
            raise click.exceptions.Exit(ExitCode.NEGATIVE)


@click.group()
def numbers() -> None:
    """Dedicated numbers for texts, and your own numbers to call.

    The policy lists the numbers in use under [text_in] and [own_numbers].
    """


@numbers.command("list", epilog=examples("waitcall numbers list", "waitcall numbers list --json"))
@as_json
@acting
def list_numbers(*, json_wanted: bool, operator: str) -> None:
    """List our numbers, and numbers for rent. Costs are for the rest of this month and for a full month."""
    with running() as context:
        rows = [_row(each) for each in context.account.numbers(operator)]
    show_rows(rows, _NUMBER_COLUMNS, json_wanted=json_wanted)


@numbers.command(
    "rent",
    epilog=examples(
        'waitcall numbers rent +79585550001 --reason "texts for sign-ups"',
        'waitcall numbers rent +79585550001 --no-prolong --yes --reason "one month"',
    ),
)
@click.argument("phone_number")
@click.option("--no-prolong", is_flag=True, help="Rent it only to the end of this month.")
@yes_option
@reason_option
@as_json
@acting
def rent(  # noqa: PLR0913  the command's options
    *, phone_number: str, no_prolong: bool, yes: bool, reason: str, json_wanted: bool, operator: str
) -> None:
    """Rent PHONE_NUMBER. The command shows what it costs and asks for confirmation first."""
    with running() as context:
        offered = context.account.offer(E164.parse(phone_number))
        click.echo(
            f"{offered.number.display}: {offered.current_cost} for the rest of this month, {offered.cost} a month"
            f"{'' if no_prolong else ', prolonged until you stop it'}.",
            err=True,
        )
        if not yes:
            click.confirm("Rent it?", abort=True, err=True)
        charged = context.account.rent(operator, offered, prolong=not no_prolong, reason=reason)
    show_object(
        {"phone_number": offered.number.value, "charged": charged, "prolong": not no_prolong},
        json_wanted=json_wanted,
    )
    click.echo("Add it to the policy: [text_in] numbers.", err=True)


@numbers.command(
    "prolong", epilog=examples('waitcall numbers prolong +79585550001 --reason "needed for longer"')
)
@click.argument("phone_number")
@yes_option
@reason_option
@as_json
@acting
def prolong(*, phone_number: str, yes: bool, reason: str, json_wanted: bool, operator: str) -> None:
    """Pay for PHONE_NUMBER every month from now on."""
    if not yes:
        click.confirm(f"Pay for {phone_number} every month?", abort=True, err=True)
    with running() as context:
        certain = context.account.set_prolong(operator, E164.parse(phone_number), prolong=True, reason=reason)
    _tell_change("The number will be prolonged every month.", certain=certain, json_wanted=json_wanted)


@numbers.command("stop", epilog=examples('waitcall numbers stop +79585550001 --reason "too expensive"'))
@click.argument("phone_number")
@reason_option
@as_json
@acting
def stop(*, phone_number: str, reason: str, json_wanted: bool, operator: str) -> None:
    """Stop paying for PHONE_NUMBER. Its rent ends with this month."""
    with running() as context:
        certain = context.account.set_prolong(
            operator, E164.parse(phone_number), prolong=False, reason=reason
        )
    _tell_change("The rent ends with this month.", certain=certain, json_wanted=json_wanted)


@numbers.command(
    "pool",
    epilog=examples("waitcall numbers pool", "waitcall numbers pool --phone-number +79991234567 --json"),
)
@click.option(
    "--phone-number",
    help="Also show when this subscriber may be shown each number again. `-` reads it from standard input.",
)
@as_json
def pool(*, phone_number: str | None, json_wanted: bool) -> None:
    """List the numbers of [own_numbers] in the policy."""
    with running() as context:
        core, given = context.core, read_number(phone_number)
        now = core.clock()
        shown = core.numbers.shown(E164.parse(given), now) if given else {}
        free = (rfc3339(now) or "") if json_wanted else "now"
        rows = [
            {
                "phone_number": number.value,
                "dialect": dialect.value,
                "region": number.region,
                "kind": number.number_type,
            }
            | ({"free_at": rfc3339(shown.get(number)) or free} if given else {})
            for number, dialect in core.policy.own_numbers.dialects.items()
        ]
    if not rows and not json_wanted:
        click.echo("The policy has no own numbers.")
        return
    columns = ("phone_number", "dialect", "region", "kind", *(("free_at",) if phone_number else ()))
    show_rows(rows, columns, json_wanted=json_wanted)


def _tell_change(done: str, *, certain: bool, json_wanted: bool) -> None:
    if json_wanted:
        print_json({"certain": certain})
    else:
        click.echo(done if certain else _UNCERTAIN)


def _row(number: DedicatedNumber) -> dict[str, Any]:
    return {
        "phone_number": number.number.value,
        "state": number.state.value,
        "kind": number.kind,
        "current_cost": number.current_cost,
        "cost": number.cost,
        "info": number.info,
    }


@click.group()
def reports() -> None:
    """Reports that the provider makes on request."""


@reports.command("list", epilog=examples("waitcall reports list", "waitcall reports list --after 42 --json"))
@click.option("--after", "after_id", default=0, help="Only tasks after this id.")
@click.option("--count", default=100, show_default=True, help="Most tasks to list.")
@as_json
@acting
def list_reports(*, after_id: int, count: int, json_wanted: bool, operator: str) -> None:
    """List deferred tasks with their status. The file of a task exists once its status is `done`."""
    with running() as context:
        rows = [asdict(each) for each in context.account.tasks(operator, after_id, count)]
    show_rows(rows, _TASK_COLUMNS, json_wanted=json_wanted)


@reports.command(
    "download",
    epilog=examples("waitcall reports download 42", "waitcall reports download week_42.csv --to week.csv"),
)
@click.argument("task")
@click.option(
    "--to",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write. Default: report-ID.csv, or the name of the file.",
)
@as_json
@acting
def download(*, task: str, target: Path | None, json_wanted: bool, operator: str) -> None:
    """Download the file of TASK. TASK is a task's id or its file's name. An interrupted download is continued."""
    by_id = task.isascii() and task.isdecimal()
    target = target or Path(f"report-{task}.csv" if by_id else Path(task).name)
    part = target.with_name(target.name + ".part")
    offset = part.stat().st_size if part.exists() else 0
    with running() as context:
        got = context.account.download(operator, int(task) if by_id else task, offset)
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
    size = target.stat().st_size
    if json_wanted:
        print_json({"file": str(target), "bytes": size})
    else:
        click.echo(f"{target}: {size} bytes")


@reports.command(
    "reconcile",
    epilog=examples(
        "waitcall reports reconcile report-42.csv",
        "waitcall reports reconcile report-42.csv --column id=ID --json",
    ),
)
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
    """Compare FILE with our audit stream. Exit 3 if they differ, or if FILE has lines that cannot be read."""
    names = dict(each.partition("=")[::2] for each in columns)
    last = until.replace(tzinfo=UTC) if until else datetime.now(UTC)
    first = since.replace(tzinfo=UTC) if since else last - timedelta(days=31)
    try:
        report = read_report(file.read_bytes(), names)
    except ReportUnreadable as error:
        raise click.ClickException(f"{file}: {error}") from error
    with running() as context:
        found = reconcile(report.rows, context.account.audited(operator, first, last, (SENT, REFUSED)))
    _tell(report, found, json_wanted=json_wanted)
    complete = report.adds_up and not report.unread
    if found.unknown or found.unsent or found.refused_but_sent or not complete:
        raise click.exceptions.Exit(ExitCode.NEGATIVE)


def _tell(report: Report, found: Reconciled, *, json_wanted: bool) -> None:
    answer = asdict(found)
    if json_wanted:
        unread = [asdict(each) for each in report.unread]
        print_json(
            answer
            | {
                "unread": unread,
                "charset": report.charset,
                "adds_up": report.adds_up,
                "priced": report.priced,
            }
        )
        return
    counts = ("unknown", "unsent", "refused_but_sent")
    show_object(
        {"matched": found.matched}
        | {name: len(answer[name]) for name in counts}
        | {"unread": len(report.unread)},
        json_wanted=False,
    )
    for name in counts:
        for message_id in answer[name]:
            click.echo(f"{name.replace('_', ' ')}: {message_id}")
    for each in report.unread:
        click.echo(f"line {each.line} not read: {each.reason}")
    if not report.adds_up:
        click.echo("The costs of the lines do not add up to a total of the report.")
    if not report.priced:
        click.echo("No column has costs, so each counts as 0. Name the column: --column cost=NAME.")
    click.echo()
    costs = [{"country": country, "cost": money} for country, money in answer["cost"].items()]
    show_rows(costs, ("country", "cost"), json_wanted=False)
