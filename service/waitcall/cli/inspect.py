"""``waitcall show``, ``find``, ``balance`` and ``replay-callback``."""

import hashlib
import time
from typing import Any
from urllib.parse import urlencode

import click
import urllib3

from waitcall.adapters.http.answers import dump_verification
from waitcall.cli.environment import acting, read_number, running
from waitcall.cli.tables import as_json, show_object
from waitcall.composition.cli_context import CliContext, build_cli_context
from waitcall.domain.numbers import E164
from waitcall.domain.verification import Verification

_POST_SECONDS = 10.0


@click.command()
@click.argument("verification_id")
@as_json
@acting
def show(*, verification_id: str, json_wanted: bool, operator: str) -> None:
    """Show a verification by its id (`-`: read it from standard input, so that no process list shows it)."""
    with running(build_cli_context) as context:
        record = context.lookup.show(operator, read_number(verification_id) or "")
        show_object(_told(record, context), json_wanted=json_wanted)


@click.command()
@click.argument("phone_number")
@as_json
@acting
def find(*, phone_number: str, json_wanted: bool, operator: str) -> None:
    """Show the latest verification of a number (`-`: read it from standard input)."""
    with running(build_cli_context) as context:
        record = context.lookup.find(operator, read_number(phone_number) or "")
        show_object(_told(record, context), json_wanted=json_wanted)


@click.command()
@as_json
def balance(*, json_wanted: bool) -> None:
    """Show the balance at the provider, in the account's currency. Exit 3 if it is below WAITCALL_LOW_BALANCE."""
    with running(build_cli_context) as context:
        money, low = context.balance.balance(), context.settings.low_balance
        show_object({"balance": str(money), "low": money < low}, json_wanted=json_wanted)
        if money < low:
            raise click.exceptions.Exit(3)


@click.command("replay-callback")
@click.argument("phone_number")
@click.option(
    "--ts",
    type=int,
    help="Time of the call in Unix seconds, as the provider's web account shows it. Default: now.",
)
@click.option("--url", help="URL of the handler. Default: the callback listener of this environment.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--reason", required=True, help="Reason, for the audit stream.")
@acting
def replay_callback(  # noqa: PLR0913  the command's options
    *, phone_number: str, ts: int | None, url: str | None, yes: bool, reason: str, operator: str
) -> None:
    """Send the handler a callback for a call from PHONE_NUMBER, signed like the provider's. THIS VERIFIES the number."""
    number = E164.parse(read_number(phone_number) or "")
    if not yes:
        click.confirm(
            "This verifies the number although the provider reported no call. Continue?", abort=True, err=True
        )
    with running(build_cli_context) as context:
        settings = context.settings
        context.lookup.replayed(operator, number.value, reason)
        at = str(ts or int(time.time()))
        secret = settings.callback_secrets[0].reveal()
        if settings.callback_hash == "crc32":
            raise click.ClickException("WAITCALL_CALLBACK_HASH is crc32; this command supports md5 and sha1.")
        digest = hashlib.new(settings.callback_hash, f"{number.digits}:{at}:{secret}".encode()).hexdigest()
        fields = {"waitcall": "1", "phone": number.digits, "ts": at, settings.callback_hash: digest}
        status, text = _post(url or settings.local_callback_url, fields)
    click.echo(f"{status} {text}")
    if status != 200:  # noqa: PLR2004  OK
        raise click.exceptions.Exit(1)


def _post(url: str, fields: dict[str, str]) -> tuple[int, str]:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    try:
        answer = urllib3.request(
            "POST", url, body=urlencode(fields), headers=headers, timeout=_POST_SECONDS, retries=False
        )
    except urllib3.exceptions.HTTPError as error:
        raise click.ClickException(f"{url}: {type(error).__name__}") from error
    return answer.status, answer.data.decode("utf-8", "replace")[:200]


def _told(record: Verification, context: CliContext) -> dict[str, Any]:
    told = dump_verification(record, context.core.clock())
    if told["text_in"]:
        # The text is the person's secret until the window ends.
        told["text_in"] = {**told["text_in"], "text": "***", "uri": "***"}
    return {"client": record.requester.client, "region": record.region} | told
