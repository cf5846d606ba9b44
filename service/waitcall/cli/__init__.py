"""The ``waitcall`` command."""

import json
import os
import sys
from pathlib import Path

import click

from waitcall import __version__
from waitcall.cli.account import balance, numbers, reports
from waitcall.cli.console import as_json, examples, print_json, show_rows, sound_settings
from waitcall.cli.doctor import doctor
from waitcall.cli.inspect import audit, events, find, replay_callback, show
from waitcall.cli.keys import keys
from waitcall.cli.operate import block, explain, lists, unblock
from waitcall.cli.verify import verify
from waitcall.composition import build_worker, configure_logging
from waitcall.configuration.policy import SHIPPED_POLICY, json_schema
from waitcall.configuration.settings import SURFACES, in_effect, weaknesses

CONFIGURATION = Path(__file__).resolve().parent.parent / "gunicorn_conf.py"
"""gunicorn's configuration. gunicorn runs the file, and runs it again on SIGHUP, so it is not imported."""


@click.group()
@click.version_option(__version__, prog_name="waitcall")
def main() -> None:
    """Operate waitcall. Settings are read from the environment, as by the service.

    Exit codes: 0 success; 1 refused or failed; 2 wrong settings or options; 3 negative result (verify: not proven,
    reports reconcile: differences found, balance: low).
    """


@main.command(
    epilog=examples(
        "waitcall check", "waitcall check --values", "waitcall check --example-policy > policy.toml"
    )
)
@click.option(
    "--values",
    is_flag=True,
    help="Print each setting too: where it comes from, and its value unless it is secret.",
)
@click.option(
    "--schema", is_flag=True, help="Print the JSON Schema of the policy, for editors, and check nothing."
)
@click.option(
    "--example-policy",
    is_flag=True,
    help="Print the package's policy, as a start for your own, and check nothing.",
)
@as_json
def check(*, values: bool, schema: bool, example_policy: bool, json_wanted: bool) -> None:
    """Check the settings in the environment. Warn of weak ones. Exit 2 and name all mistakes if there are any."""
    if example_policy:
        click.echo(SHIPPED_POLICY.read_text(encoding="utf-8"), nl=False)
        return
    if schema:
        click.echo(json.dumps(json_schema(), indent=2))
        return
    weak = list(weaknesses(sound_settings(os.environ)))
    for weakness in weak:
        click.echo(f"Warning: {weakness}.", err=True)
    if values:
        columns = ("setting", "from", "value")
        rows = (dict(zip(columns, each, strict=True)) for each in in_effect(os.environ))
        show_rows(rows, columns, json_wanted=json_wanted)
    elif json_wanted:
        print_json({"sound": True, "warnings": weak})
    else:
        click.echo("The settings are sound.")


@main.command(epilog=examples("waitcall serve", "waitcall serve --surface api"))
@click.option(
    "--surface",
    "surfaces",
    type=click.Choice(SURFACES),
    multiple=True,
    help="Serve this surface and operations; may be repeated. Overrides WAITCALL_SURFACES.",
)
def serve(surfaces: tuple[str, ...]) -> None:
    """Run the service: gunicorn with its configuration. It replaces this process, so it receives all signals."""
    environ = dict(os.environ)
    if surfaces:
        environ["WAITCALL_SURFACES"] = ",".join(surfaces)
        environ.pop("WAITCALL_SURFACES_FILE", None)
    # A module, because after `pip install --user` gunicorn's script is not beside the interpreter. The variable keeps
    # modules in the current directory from being imported in the place of installed ones.
    environ["PYTHONSAFEPATH"] = "1"
    command = [sys.executable, "-m", "gunicorn", "-c", str(CONFIGURATION), "waitcall.wsgi:app"]
    os.execve(sys.executable, command, environ)  # noqa: S606  # nosec B606  # no argument comes from outside


@main.command(epilog=examples("waitcall worker"))
def worker() -> None:
    """Run the background worker. It does inbox reconciliation, expiry, webhooks and balance, and may have replicas.

    The worker stops on SIGTERM. It serves probes and metrics on WAITCALL_WORKER_OPS_BIND.
    """
    # Ignore WAITCALL_SURFACES: without the surface api, settings lack secrets of provider and webhooks, which a worker needs.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WAITCALL_SURFACES")}
    settings = sound_settings(environ)
    configure_logging(settings)
    try:
        working = build_worker(settings)
    except OSError as error:
        raise click.ClickException(f"WAITCALL_WORKER_OPS_BIND: {error.strerror}") from error
    working.run()


for _command in (
    *(keys, explain, block, unblock, lists, audit, events),
    *(doctor, verify, show, find, balance, replay_callback, numbers, reports),
):
    main.add_command(_command)
