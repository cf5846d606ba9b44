"""``waitcall events``: secrets of webhook endpoints, and events that could not be delivered."""

import base64
import json
import secrets

import click

from waitcall.cli.environment import acting, running
from waitcall.composition import build_dead_letters

_SECRET_BYTES = 32


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
    with running(build_dead_letters) as letters:
        for each in letters.list(operator):
            line = {"event_id": each.event_id, "endpoint": each.endpoint, "attempts": each.attempt}
            click.echo(json.dumps(line | {"event": json.loads(each.body)}, ensure_ascii=False))


@events.command("replay")
@click.argument("event_id", required=False)
@click.option("--endpoint", help="Only dead letters for this endpoint, CLIENT/NAME.")
@click.option("--all", "everything", is_flag=True, help="All dead letters.")
@click.option("--reason", required=True, help="Reason, for the audit stream.")
@acting
def replay(
    event_id: str | None, endpoint: str | None, *, everything: bool, reason: str, operator: str
) -> None:
    """Deliver dead letters again. Exit 1 if there is none."""
    if not (event_id or endpoint or everything):
        raise click.UsageError("Give an EVENT_ID, --endpoint or --all.")
    with running(build_dead_letters) as letters:
        count = letters.replay(operator, reason, event_id, endpoint)
    click.echo(f"replayed: {count}")
    if not count:
        raise click.ClickException("There is no such dead letter.")
