"""``waitcall explain``, ``block``, ``unblock`` and ``lists``: the operator's use cases."""

import re
from collections.abc import Mapping
from typing import Any

import click

from waitcall.adapters.http.operator import (
    ExplanationResponse,
    ListEntryResponse,
    ListsResponse,
    UndoneResponse,
)
from waitcall.application.operate import CLEARABLE, Subject
from waitcall.cli.console import (
    acting,
    as_json,
    examples,
    print_json,
    read_number,
    reason_option,
    running,
    show_object,
    show_rows,
)
from waitcall.domain.limits import Mode, Scope
from waitcall.domain.lists import ListAction, ListKind

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_number = click.argument("phone_number", required=False)
_LIST_COLUMNS = ("action", "kind", "subject", "by", "expires_at", "reason")
_TABLES = {
    "refusals": ("code", "retry_after", "detail"),
    "limits": ("scope", "limit", "mode", "used", "remaining", "reset_seconds"),
    "lists": _LIST_COLUMNS,
    "conversions": ("group", "mode", "started", "called", "exceeded", "retry_after"),
}
"""Columns of each list in an explanation."""


@click.command(
    epilog=examples(
        "waitcall explain +79991234567 --client-ip 203.0.113.7",
        "echo +79991234567 | waitcall explain - --purpose login --json",
    )
)
@_number
@click.option("--client-ip", help="IP address of an end user.")
@click.option("--client", help="Name of a configured client.")
@click.option("--purpose", help="Also check whether the number may be verified for this purpose.")
@as_json
@acting
def explain(  # noqa: PLR0913  the command's options
    *,
    phone_number: str | None,
    client_ip: str | None,
    client: str | None,
    purpose: str | None,
    json_wanted: bool,
    operator: str,
) -> None:
    """Explain whether a number, address or client is refused. `-` reads the number from standard input.

    The exit code is 0, refused or not.
    """
    if phone_number is None and client_ip is None and client is None:
        raise click.UsageError("Give PHONE_NUMBER, --client-ip or --client.")
    with running() as context:
        subject = Subject(read_number(phone_number), client_ip, client)
        answer = ExplanationResponse().dump(context.use_cases.operator.explain(operator, subject, purpose))
    if json_wanted:
        print_json(answer)
    else:
        _show_explanation(answer)


def _show_explanation(answer: Mapping[str, Any]) -> None:
    show_object({name: each for name, each in answer.items() if name not in _TABLES}, json_wanted=False)
    for name, columns in _TABLES.items():
        if answer[name]:
            click.echo(f"\n{name}:")
            show_rows(answer[name], columns, json_wanted=False)
    if any(_is_spent(each, Scope.WRONG_NUMBERS) for each in answer["limits"]):
        click.echo(
            f"\n{Scope.WRONG_NUMBERS} is used up: until it resets, only a call whose network confirms the number verifies it."
        )


def _is_spent(limit: Mapping[str, Any], scope: Scope) -> bool:
    return bool(limit["scope"] == scope and limit["mode"] == Mode.ENFORCE and not limit["remaining"])


@click.command(
    epilog=examples(
        'waitcall block +79991234567 --for 7d --reason "ticket 4711"',
        'waitcall block --network 203.0.113.0/24 --for 12h --reason "a flood"',
        'waitcall block +79991234567 --allow --for 30d --reason "support desk"',
    )
)
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
@as_json
@acting
def block(  # noqa: PLR0913  the command's options
    *,
    phone_number: str | None,
    prefix: str | None,
    network: str | None,
    allow: bool,
    lasting: str,
    reason: str,
    json_wanted: bool,
    operator: str,
) -> None:
    """Block a number, a prefix or a network. `-` reads the number from standard input."""
    kind, subject = _named(read_number(phone_number), prefix, network)
    action = ListAction.ALLOW if allow else ListAction.BLOCK
    with running() as context:
        entry = context.use_cases.operator.put(
            operator, action=action, kind=kind, subject=subject, reason=reason, expires_in=_seconds(lasting)
        )
    show_object(ListEntryResponse().dump(entry), json_wanted=json_wanted)


@click.command(
    epilog=examples(
        'waitcall unblock +79991234567 --reason "ticket 4711"',
        'waitcall unblock +79991234567 --scope country --reason "ticket 4711"',
        'waitcall unblock --prefix +7999 --reason "the flood is over"',
    )
)
@_number
@click.option("--client-ip", help="IP address of an end user.")
@click.option("--client", help="Name of a configured client.")
@click.option("--prefix", help="Remove this prefix from the lists.")
@click.option("--network", help="Remove this network from the lists.")
@click.option("--scope", type=click.Choice([each.value for each in CLEARABLE]), help="Clear only this limit.")
@click.option("--verification", is_flag=True, help="Also cancel the live verification of the number.")
@click.option("--conversion", is_flag=True, help="Also clear the counts of the conversion guard.")
@reason_option
@as_json
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
    json_wanted: bool,
    operator: str,
) -> None:
    """Clear limits, and remove a block. `-` reads the number from standard input.

    The limits are those of the given number, address and client; the block is the one that names it exactly.
    """
    with running() as context:
        if prefix or network:
            kind, named = _named(None, prefix, network)
            context.use_cases.operator.remove(operator, kind, named, reason)
            show_object({"removed": named}, json_wanted=json_wanted)
            return
        undone = context.use_cases.operator.unblock(
            operator,
            Subject(read_number(phone_number), client_ip, client),
            reason,
            scope=Scope(scope) if scope else None,
            verification=verification,
            conversion=conversion,
        )
        show_object(UndoneResponse().dump(undone), json_wanted=json_wanted)


@click.command(epilog=examples("waitcall lists", "waitcall lists --json"))
@as_json
@acting
def lists(*, json_wanted: bool, operator: str) -> None:
    """Show all live entries of the block and allow lists."""
    with running() as context:
        answer = ListsResponse().dump({"lists": context.use_cases.operator.lists(operator)})
    if json_wanted:
        print_json(answer)
    elif answer["lists"]:
        show_rows(answer["lists"], _LIST_COLUMNS, json_wanted=False)
    else:
        click.echo("No entries.")


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
