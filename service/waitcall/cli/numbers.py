"""``waitcall numbers``: dedicated numbers at the provider. Renting costs money, so it is never automatic."""

import click

from waitcall.application.provider_account import DedicatedNumber
from waitcall.cli.environment import acting, running
from waitcall.cli.tables import as_json, show_object, show_rows
from waitcall.composition.cli_context import build_cli_context
from waitcall.domain.numbers import E164

_COLUMNS = ("phone_number", "state", "kind", "current_cost", "cost", "info")
_reason = click.option("--reason", required=True, help="Reason, for the audit stream.")
_yes = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


@click.group()
def numbers() -> None:
    """Dedicated numbers that receive texts. The policy lists the numbers in use under [text_in]."""


@numbers.command("list")
@as_json
@acting
def list_numbers(*, json_wanted: bool, operator: str) -> None:
    """List our numbers with their state, and numbers for rent with the cost of the rest of this month and of a month."""
    with running(build_cli_context) as context:
        rows = [_row(each) for each in context.account.numbers(operator)]
    show_rows(rows, _COLUMNS, json_wanted=json_wanted)


@numbers.command("rent")
@click.argument("phone_number")
@click.option("--no-prolong", is_flag=True, help="Rent it only to the end of this month.")
@_yes
@_reason
@as_json
@acting
def rent(  # noqa: PLR0913  the command's options
    *, phone_number: str, no_prolong: bool, yes: bool, reason: str, json_wanted: bool, operator: str
) -> None:
    """Rent PHONE_NUMBER after showing what it costs and asking for confirmation."""
    with running(build_cli_context) as context:
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


@numbers.command("prolong")
@click.argument("phone_number")
@_yes
@_reason
@acting
def prolong(*, phone_number: str, yes: bool, reason: str, operator: str) -> None:
    """Pay for PHONE_NUMBER every month from now on."""
    if not yes:
        click.confirm(f"Pay for {phone_number} every month?", abort=True, err=True)
    with running(build_cli_context) as context:
        context.account.set_prolong(operator, E164.parse(phone_number), prolong=True, reason=reason)
    click.echo("The number will be prolonged every month.")


@numbers.command("stop")
@click.argument("phone_number")
@_reason
@acting
def stop(*, phone_number: str, reason: str, operator: str) -> None:
    """Stop paying for PHONE_NUMBER: its rent ends with this month."""
    with running(build_cli_context) as context:
        context.account.set_prolong(operator, E164.parse(phone_number), prolong=False, reason=reason)
    click.echo("The rent ends with this month.")


def _row(number: DedicatedNumber) -> dict[str, str | None]:
    money = {
        "current_cost": str(number.current_cost) if number.current_cost is not None else None,
        "cost": str(number.cost) if number.cost is not None else None,
    }
    return {
        "phone_number": number.number.value,
        "state": number.state.value,
        "kind": number.kind,
        **money,
        "info": number.info,
    }
