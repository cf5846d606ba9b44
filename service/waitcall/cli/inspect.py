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
    show_pairs,
    yes_option,
)
from waitcall.composition.use_cases import CliContext
from waitcall.domain.numbers import E164
from waitcall.domain.verification import Verification

_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
_POST_SECONDS = 10.0
_SECRET_BYTES = 32


@click.command(
    epilog=examples("waitcall show VERIFICATION_ID", "echo VERIFICATION_ID | waitcall show - --json")
)
@click.argument("verification_id")
@as_json
@acting
def show(*, verification_id: str, json_wanted: bool, operator: str) -> None:
    """Show a verification by its id. `-` reads it from standard input, so that no process list shows it."""
    with running() as context:
        record = context.use_cases.operator.show(operator, read_number(verification_id) or "")
        show_object(_told(record, context), json_wanted=json_wanted)


@click.command(epilog=examples("waitcall find +79991234567", "echo +79991234567 | waitcall find - --json"))
@click.argument("phone_number")
@as_json
@acting
def find(*, phone_number: str, json_wanted: bool, operator: str) -> None:
    """Show the latest verification of a number. `-` reads it from standard input."""
    with running() as context:
        record = context.use_cases.operator.find(operator, read_number(phone_number) or "")
        show_object(_told(record, context), json_wanted=json_wanted)


@click.command(
    "replay-callback",
    epilog=examples(
        'waitcall replay-callback +79991234567 --reason "ticket 4711"',
        "waitcall replay-callback +79991234567 --ts 1790000000 --yes --reason ticket",
    ),
)
@click.argument("phone_number")
@click.option(
    "--ts",
    type=int,
    help="Time of the call in Unix seconds, as the provider's web account shows it. Default: now.",
)
@click.option("--url", help="URL of the handler. Default: the callback listener of this environment.")
@yes_option
@reason_option
@as_json
@acting
def replay_callback(  # noqa: PLR0913  the command's options
    *,
    phone_number: str,
    ts: int | None,
    url: str | None,
    yes: bool,
    reason: str,
    json_wanted: bool,
    operator: str,
) -> None:
    """Send the handler a callback signed like the provider's. THIS VERIFIES PHONE_NUMBER, as a call from it does."""
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
    if json_wanted:
        print_json({"status": status, "answer": text})
    else:
        click.echo(f"{status} {text}")
    if status != 200:  # noqa: PLR2004  OK
        raise click.exceptions.Exit(ExitCode.FAILED)


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
    evidence = {"provider": record.number_provider, "attestation": record.attestation}
    return {"client": record.requester.client, "region": record.region} | told | evidence


@click.group()
def audit() -> None:
    """The audit stream."""


@audit.command(
    "export",
    epilog=examples(
        "waitcall audit export --since 2026-11-01 > audit.jsonl",
        "echo +79991234567 | waitcall audit export --number -",
    ),
)
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


@events.command("secret", epilog=examples("waitcall events secret web/main"))
@click.argument("endpoint")
@as_json
def secret(*, endpoint: str, json_wanted: bool) -> None:
    """Make a secret for ENDPOINT, CLIENT/NAME. Print it for the receiver and for WAITCALL_WEBHOOK_SECRETS."""
    client, _, name = endpoint.partition("/")
    if not client or not name:
        raise click.BadParameter("Write CLIENT/NAME, as in the policy: clients.CLIENT.webhooks.NAME.")
    made = f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
    show_pairs({"secret": made, "WAITCALL_WEBHOOK_SECRETS": f"{endpoint}={made}"}, json_wanted=json_wanted)


@events.command("dead", epilog=examples("waitcall events dead", "waitcall events dead | jq -r .event_id"))
@acting
def dead(operator: str) -> None:
    """Print dead letters as JSON lines. They are the events that no attempt delivered."""
    with running() as context:
        for each in context.dead_letters.list(operator):
            line = {"event_id": each.event_id, "endpoint": each.endpoint, "attempts": each.attempt}
            click.echo(json.dumps(line | {"event": json.loads(each.body)}, ensure_ascii=False))


@events.command(
    "replay",
    epilog=examples(
        'waitcall events replay evt_1 --reason "receiver fixed"',
        'waitcall events replay --endpoint web/main --reason "receiver fixed"',
    ),
)
@click.argument("event_id", required=False)
@click.option("--endpoint", help="Only dead letters for this endpoint, CLIENT/NAME.")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@reason_option
@as_json
@acting
def replay(  # noqa: PLR0913  the command's options
    *,
    event_id: str | None,
    endpoint: str | None,
    everything: bool,
    reason: str,
    json_wanted: bool,
    operator: str,
) -> None:
    """Deliver dead letters again. Exit 1 if there is none."""
    if not (event_id or endpoint or everything):
        raise click.UsageError("Give an EVENT_ID, --endpoint or --all.")
    with running() as context:
        count = context.dead_letters.replay(operator, reason, event_id, endpoint)
    show_pairs({"replayed": count}, json_wanted=json_wanted)
    if not count:
        raise click.ClickException("There is no such dead letter.")
