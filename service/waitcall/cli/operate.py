"""``waitcall explain``, ``block``, ``unblock`` and ``lists``: the operator's use cases. They print JSON."""

import re

import click

from waitcall.adapters.http.operator import (
    ExplanationResponse,
    ListEntryResponse,
    ListsResponse,
    UndoneResponse,
)
from waitcall.application.operate import CLEARABLE, Subject
from waitcall.cli.console import acting, print_json, read_number, reason_option, running
from waitcall.domain.limits import Scope
from waitcall.domain.lists import ListAction, ListKind

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_number = click.argument("phone_number", required=False)


@click.command()
@_number
@click.option("--client-ip", help="IP address of an end user.")
@click.option("--client", help="Name of a configured client.")
@click.option("--purpose", help="Also check whether the number may be verified for this purpose.")
@acting
def explain(
    phone_number: str | None, client_ip: str | None, client: str | None, purpose: str | None, operator: str
) -> None:
    """Explain whether a number (`-`: read it from standard input), an address or a client is refused, and why.

    The exit code is 0 in both cases.
    """
    with running() as context:
        subject = Subject(read_number(phone_number), client_ip, client)
        print_json(ExplanationResponse().dump(context.use_cases.operator.explain(operator, subject, purpose)))


@click.command()
@_number
@click.option("--prefix", help="Prefix to block instead of a number: + and digits.")
@click.option("--network", help="Network to block instead of a number, in CIDR form.")
@click.option(
    "--allow",
    is_flag=True,
    help="Allow instead of block: exempt it from wider blocks, the conversion guard and its limits.",
)
@click.option(
    "--for", "lasting", default="1d", show_default=True, help="Duration in s, m, h or d; at most 366d."
)
@reason_option
@acting
def block(  # noqa: PLR0913  the command's options
    *,
    phone_number: str | None,
    prefix: str | None,
    network: str | None,
    allow: bool,
    lasting: str,
    reason: str,
    operator: str,
) -> None:
    """Block a number, a prefix or a network."""
    kind, subject = _named(read_number(phone_number), prefix, network)
    action = ListAction.ALLOW if allow else ListAction.BLOCK
    with running() as context:
        entry = context.use_cases.operator.put(
            operator, action=action, kind=kind, subject=subject, reason=reason, expires_in=_seconds(lasting)
        )
        print_json(ListEntryResponse().dump(entry))


@click.command()
@_number
@click.option("--client-ip", help="IP address of an end user.")
@click.option("--client", help="Name of a configured client.")
@click.option("--prefix", help="Remove this prefix from the lists.")
@click.option("--network", help="Remove this network from the lists.")
@click.option("--scope", type=click.Choice([each.value for each in CLEARABLE]), help="Clear only this limit.")
@click.option("--verification", is_flag=True, help="Also cancel the live verification of the number.")
@click.option("--conversion", is_flag=True, help="Also clear the counts of the conversion guard.")
@reason_option
@acting
def unblock(  # noqa: PLR0913  the command's options
    *,
    phone_number: str | None,
    client_ip: str | None,
    client: str | None,
    prefix: str | None,
    network: str | None,
    scope: str | None,
    verification: bool,
    conversion: bool,
    reason: str,
    operator: str,
) -> None:
    """Clear the limits of a number, address or client, and remove the block that names it."""
    with running() as context:
        if prefix or network:
            context.use_cases.operator.remove(operator, *_named(None, prefix, network), reason)
            return
        undone = context.use_cases.operator.unblock(
            operator,
            Subject(read_number(phone_number), client_ip, client),
            reason,
            scope=Scope(scope) if scope else None,
            verification=verification,
            conversion=conversion,
        )
        print_json(UndoneResponse().dump(undone))


@click.command()
@acting
def lists(operator: str) -> None:
    """Show all live entries of the block and allow lists."""
    with running() as context:
        print_json(ListsResponse().dump({"lists": context.use_cases.operator.lists(operator)}))


def _named(number: str | None, prefix: str | None, network: str | None) -> tuple[ListKind, str]:
    given = [
        (kind, text)
        for kind, text in zip(ListKind, (number, prefix, network), strict=True)
        if text is not None
    ]
    if len(given) != 1:
        raise click.UsageError("Give exactly one of a number, --prefix and --network.")
    return given[0]


def _seconds(lasting: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", lasting, re.ASCII)
    if match is None:
        raise click.BadParameter("Write a duration such as 30m, 12h or 7d.", param_hint="--for")
    return int(match[1]) * _SECONDS[match[2]]
