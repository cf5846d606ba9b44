"""``waitcall show``, ``find``, ``replay-callback``, ``audit`` and ``events``: look at records and entries, and send again."""

import base64
import hashlib
import json
import secrets
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import click
import urllib3

from waitcall.adapters.http.answers import dump_verification
from waitcall.cli.console import acting, as_json, read_number, reason_option, running, show_object, yes_option
from waitcall.composition.use_cases import CliContext
from waitcall.domain.numbers import E164
from waitcall.domain.verification import Verification

_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
_POST_SECONDS = 10.0
_SECRET_BYTES = 32


@click.command()
@click.argument("verification_id")
@as_json
@acting
def show(*, verification_id: str, json_wanted: bool, operator: str) -> None:
    """Show a verification by its id (`-`: read it from standard input, so that no process list shows it)."""
    with running() as context:
        record = context.use_cases.operator.show(operator, read_number(verification_id) or "")
        show_object(_told(record, context), json_wanted=json_wanted)


@click.command()
@click.argument("phone_number")
@as_json
@acting
def find(*, phone_number: str, json_wanted: bool, operator: str) -> None:
    """Show the latest verification of a number (`-`: read it from standard input)."""
    with running() as context:
        record = context.use_cases.operator.find(operator, read_number(phone_number) or "")
        show_object(_told(record, context), json_wanted=json_wanted)


@click.command("replay-callback")
@click.argument("phone_number")
@click.option(
    "--ts",
    type=int,
    help="Time of the call in Unix seconds, as the provider's web account shows it. Default: now.",
)
@click.option("--url", help="URL of the handler. Default: the callback listener of this environment.")
@yes_option
@reason_option
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
    with running() as context:
        settings = context.settings
        context.use_cases.operator.replayed(operator, number.value, reason)
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


@click.group()
def audit() -> None:
    """The audit stream."""


@audit.command("export")
@click.option("--since", type=click.DateTime(), help="Start of the export, UTC. Default: the oldest entry.")
@click.option("--until", type=click.DateTime(), help="End of the export, UTC. Default: now.")
@click.option("--number", help="Only entries about this number (`-`: read it from standard input).")
@acting
def export(since: datetime | None, until: datetime | None, number: str | None, operator: str) -> None:
    """Print the audit stream as JSON lines, oldest first. The export is itself audited."""
    text = read_number(number)
    with running() as context:
        phone_number = E164.parse(text).value if text else None
        context.use_cases.operator.exported(operator, phone_number)
        first = since.replace(tzinfo=UTC) if since else _BEGINNING
        last = until.replace(tzinfo=UTC) if until else datetime.now(UTC)
        for entry in context.core.audit.read(first, last, phone_number):
            click.echo(json.dumps(entry, ensure_ascii=False, sort_keys=True))


@click.group()
def events() -> None:
    """Webhooks: secrets of endpoints, and undelivered events."""


@events.command("secret")
@click.argument("endpoint")
def secret(endpoint: str) -> None:
    """Make a secret for ENDPOINT (CLIENT/NAME). Print it for the receiver and for WAITCALL_WEBHOOK_SECRETS."""
    client, _, name = endpoint.partition("/")
    if not client or not name:
        raise click.BadParameter("Write CLIENT/NAME, as in the policy: clients.CLIENT.webhooks.NAME.")
    made = f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
    click.echo(f"secret:                  {made}")
    click.echo(f"WAITCALL_WEBHOOK_SECRETS: {endpoint}={made}")


@events.command("dead")
@acting
def dead(operator: str) -> None:
    """Print the events that no attempt delivered (dead letters) as JSON lines."""
    with running() as context:
        for each in context.dead_letters.list(operator):
            line = {"event_id": each.event_id, "endpoint": each.endpoint, "attempts": each.attempt}
            click.echo(json.dumps(line | {"event": json.loads(each.body)}, ensure_ascii=False))


@events.command("replay")
@click.argument("event_id", required=False)
@click.option("--endpoint", help="Only dead letters for this endpoint, CLIENT/NAME.")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@reason_option
@acting
def replay(
    event_id: str | None, endpoint: str | None, *, everything: bool, reason: str, operator: str
) -> None:
    """Deliver dead letters again. Exit 1 if there is none."""
    if not (event_id or endpoint or everything):
        raise click.UsageError("Give an EVENT_ID, --endpoint or --all.")
    with running() as context:
        count = context.dead_letters.replay(operator, reason, event_id, endpoint)
    click.echo(f"replayed: {count}")
    if not count:
        raise click.ClickException("There is no such dead letter.")
