"""``waitcall verify``: a complete verification in the terminal, from create to consume."""

import sys
from datetime import UTC, datetime
from typing import Any

import click
import segno

from waitcall.adapters.http.answers import dump_verification
from waitcall.application.consume import Proof
from waitcall.application.create import CreateCommand
from waitcall.cli.console import ExitCode, as_json, examples, print_json, read_number, running, say
from waitcall.composition.use_cases import CliContext
from waitcall.domain.channel import Channel
from waitcall.domain.errors import CodeMismatch
from waitcall.domain.policy import Client
from waitcall.domain.status import Status
from waitcall.domain.verification import Verification

_REFERENCE = "waitcall verify"
_WEAK_CALL = "Your call came, but its network did not confirm the number. That is not enough here. Waiting for another call."


@click.command(
    epilog=examples(
        "waitcall verify +79991234567", "waitcall verify +79991234567 --purpose login --channel code --json"
    )
)
@click.argument("phone_number")
@click.option(
    "--purpose", help="Purpose of the verification. Default: the client's first in alphabetical order."
)
@click.option(
    "--client",
    "client_name",
    help="Client to act for. Default: the policy's first client that has a purpose.",
)
@click.option(
    "--channel",
    type=click.Choice([each.value for each in Channel]),
    help="Channel to begin with. Default: the purpose's first.",
)
@click.option("--no-qr", is_flag=True, help="Do not print the QR code of the link.")
@as_json
def verify(  # noqa: PLR0913  the command's options
    *,
    phone_number: str,
    purpose: str | None,
    client_name: str | None,
    channel: str | None,
    no_qr: bool,
    json_wanted: bool,
) -> None:
    """Verify a number in this terminal. `-` reads it from standard input. Exit 0 if it is proven, 3 if it is not."""
    with running() as context:
        client = _client(context, client_name)
        asked = purpose or min(client.purposes)
        command = CreateCommand(read_number(phone_number) or "", asked, _REFERENCE, channel=channel)
        record = context.use_cases.create.create(client.name, command).verification
        try:
            record = _proven(context, record, qr=not no_qr)
        except (KeyboardInterrupt, click.Abort):
            context.use_cases.cancel.cancel(client.name, record.id)
            raise
        if record.status is Status.VERIFIED:
            proof = Proof(asked, _REFERENCE)
            record = context.use_cases.consume.consume(client.name, record.id, proof)
        proven = record.status is Status.CONSUMED
        if json_wanted:
            print_json(_summary(record))
        elif proven:
            say(f"✓ Verified {record.phone_number.value} by {record.channel}: {record.assurance}", "green")
        else:
            say(f"✗ Not verified: {record.status}, {record.reason}", "red")
        if not proven:
            raise click.exceptions.Exit(ExitCode.NEGATIVE)


def _proven(context: CliContext, record: Verification, *, qr: bool) -> Verification:
    """Guide the person through each channel until the verification is no longer pending, and return it."""
    while record.status is Status.PENDING:
        channel = record.channel
        if channel is Channel.CODE:
            record = _typed(context, record)
            continue
        _instruct(record, qr=qr)
        told = None
        while record.status is Status.PENDING and record.channel is channel:
            if record.weak_call_at not in (None, told):
                told = record.weak_call_at
                _end_countdown()
                click.echo(_WEAK_CALL, err=True)
            left = int((record.expires_at - datetime.now(UTC)).total_seconds())
            if is_watched():
                click.echo(f"\r{left // 60:02}:{left % 60:02} left ", nl=False, err=True)
            record = context.use_cases.read.read(record.requester.client, record.id, wait_seconds=1)
        _end_countdown()
    return record


def _end_countdown() -> None:
    if is_watched():
        click.echo(err=True)


def is_watched() -> bool:
    """Tell whether a person watches: standard error is a terminal, not a file or a pipe."""
    return sys.stderr.isatty()


def _instruct(record: Verification, *, qr: bool) -> None:
    if record.text_in is not None:
        click.echo(f"Send {record.text_in.text} to {record.text_in.number.display}", err=True)
        uri = record.text_in.uri
    elif record.call_number is not None:
        click.echo(f"Call {record.call_number.display} from {record.phone_number.display}", err=True)
        uri = record.call_number.uri
    else:
        return
    if qr and is_watched():
        segno.make(uri, error="m").terminal(out=sys.stderr, compact=True, border=1)


def _typed(context: CliContext, record: Verification) -> Verification:
    client = record.requester.client
    if record.code is None:
        record = context.use_cases.channels.resend(client, record.id)
    click.echo(f"A code is on its way to {record.phone_number.display}.", err=True)
    while True:
        code = click.prompt("Code", err=True)
        try:
            return context.use_cases.channels.check(client, record.id, str(code).strip())
        except CodeMismatch as wrong:
            click.echo(f"Wrong. Attempts left: {wrong.attempts_left}.", err=True)
            if not wrong.attempts_left:
                return context.use_cases.read.read(client, record.id)


def _client(context: CliContext, name: str | None) -> Client:
    policy = context.core.policy
    if name is not None and name not in policy.clients:
        raise click.BadParameter(f"Give one of {', '.join(policy.clients)}.", param_hint="--client")
    able = [each for each in policy.clients.values() if each.purposes and name in (None, each.name)]
    if not able:
        raise click.ClickException("No client of the policy has a purpose.")
    return able[0]


def _summary(record: Verification) -> dict[str, Any]:
    told = dump_verification(record, datetime.now(UTC))
    names = (
        "id",
        "status",
        "reason",
        "purpose",
        "phone_number",
        "channel",
        "assurance",
        "test",
        "verified_at",
        "consumed_at",
    )
    return {name: told[name] for name in names}
