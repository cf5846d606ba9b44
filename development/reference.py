"""Writer of docs/reference, from what the code declares: ``python -m development.reference``."""

import ast
import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from enum import Enum
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import click
from marshmallow import Schema, missing, validate
from marshmallow import fields as kinds
from werkzeug.http import HTTP_STATUS_CODES

from development import api_reference, client
from development.client import class_of
from development.markdown import codes, entry, table, unit
from waitcall.adapters.http.problems import DETAIL_OF_HTTP, STATUS_OF
from waitcall.adapters.telemetry.metrics import Metrics
from waitcall.application.deliver_webhooks import DeliveryOutcome
from waitcall.cli import main
from waitcall.cli.console import ExitCode
from waitcall.configuration.policy import FIRST, Keys, PolicySchema, json_schema
from waitcall.configuration.settings import PREFIX, SETTINGS, Setting
from waitcall.domain.errors import ServiceError
from waitcall.domain.status import REASONS, Reason, Status

PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference"
GROUPS = {
    "REDIS_URL": "Redis",
    "SMSC_URLS": "Providers",
    "CALLBACK_SECRETS": "Secrets and keys",
    "POLICY": "Policy, window and hosted page",
    "SURFACES": "Processes and listeners",
    "INBOX_POLL_SECONDS": "Background worker",
    "TRUSTED_HOSTS": "Proxies in front",
    "WORKERS": "Processes and logs",
}
"""Headings of the settings' page, by the first setting below each."""
REQUIRED = "none, it must be set"
MOST_WORDS = 8
"""Longer lists of words, as that of all regions, are not spelled out."""


def pages() -> Mapping[str, str]:
    """Text of each file below docs/reference, by its name."""
    schema = json.dumps(json_schema(), indent=1, ensure_ascii=False)
    # A list of words stands in one line.
    schema = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), schema)
    return {
        "settings.md": settings(),
        "policy.md": policy(),
        "policy.schema.json": f"{schema}\n",
        "api.md": api(),
        "problems.md": problems(),
        "webhooks.md": api_reference.webhooks(meanings(Status), meanings(DeliveryOutcome)),
        "metrics.md": metrics(),
        "cli.md": commands(),
    }


def settings() -> str:
    """Page of the settings."""
    parts = []
    for name, each in SETTINGS.items():
        parts += [f"## {GROUPS[name]}"] if name in GROUPS else []
        facts = {
            "Default": _default_of_setting(each),
            "Values": values(each.reads),
            "Unit": unit(name.lower()),
            "Secret": "never shown" if each.secret else "",
        }
        parts.append(entry(f"{PREFIX}{name}", _meaning(each.meaning, each.since), facts))
    body = "\n\n".join(parts)
    return f"""# Settings

<!-- Made by `make reference` from service/waitcall/configuration/settings.py. -->

Environment variables. Each may instead be given as `…_FILE`, the path of a file that holds it; a final newline is dropped, and both at once is a mistake.
`waitcall check` and every start name all mistakes at once, without values; a start with mistakes exits with status 2. `waitcall check --values` shows what holds.
After SIGHUP the service reads settings, files and policy again; it keeps the last good ones where something is wrong, and says so in the log.

`PROMETHEUS_MULTIPROC_DIR` is honoured; its `*.db` files are emptied at start. Unset, the service makes a directory of its own.

{body}
"""


def policy() -> str:
    """Page of the policy's keys, a part for each table."""
    schema = PolicySchema()
    above = {name: each for name, each in schema.fields.items() if below(each) is None}
    parts = [_key(schema, name, each) for name, each in above.items()]
    for name, each in schema.fields.items():
        if name not in above:
            parts += [f"## {name}", each.metadata["description"], *keys(schema, name)]
    body = "\n\n".join(parts)
    return f"""# Policy

<!-- Made by `make reference` from service/waitcall/configuration/policy.py. -->

The file that `WAITCALL_POLICY` names, in TOML; `config/policy.toml` is the shipped one, and says why. A key that is not here is a mistake; a table that is left out has the defaults of its keys.
Every start and `waitcall check` name all mistakes at once, and warn of each loosening.

[policy.schema.json](policy.schema.json) is its JSON Schema, for editors: `waitcall check --schema` prints that of your version, and the line `#:schema policy.schema.json` at the top of a TOML file names it.

{body}
"""


def api() -> str:
    """Page of the API: conventions, statuses, operations and objects."""
    statuses, reasons = meanings(Status), meanings(Reason)
    found = ((f"`{each}`", codes(REASONS[each]), statuses[each]) for each in Status if each in REASONS)
    everywhere = ", ".join(
        f"{STATUS_OF[each]} [`{each}`](problems.md#{each})"
        for each in sorted(api_reference.everywhere(), key=STATUS_OF.__getitem__)
    )
    return f"""# API reference

<!-- Made by `make reference` from service/waitcall/domain/status.py and the OpenAPI document. -->

The internal API listens on `127.0.0.1:8080` unless you set another address. It shows this reference at `/docs`, and its OpenAPI document at `/openapi.json`.
The repository's `README.md` has one verification in curl.

## Conventions

- Unknown fields are refused.
- With an `Idempotency-Key`, a repeated create, consume, fallback or resend gets the first answer again, without a second order.
- A pending verification is answered with 200. A read with `wait=30` waits up to 30 s, and is answered at once when the status changes.
- A create also takes `window_seconds` (from 60 to the purpose's maximum), `client_ip` (used for limits only), `locale` and `metadata` (at most ten pairs of strings).
- Each answer has its `assurance`, which is what it proves: `asserted` (a caller ID or a sender can be forged there), `network` (networks must check caller IDs) or
  `roundtrip` (a code went to the phone). [What a call proves](../what-a-call-proves.md#the-levels) says what each is good for.
- A 201 and a 429 tell the state of the limits by `RateLimit` and `RateLimit-Policy`.
- Every error is a problem with a stable [code](problems.md).
- A purpose may allow more than a call: `"channel": "text_in"` (the person sends us a text that the answer shows) or `"code"` (we send a code, the person types it).
  `/fallback` moves a pending verification to the next channel, `/check` compares a typed code, `/resend` sends another. [Channels](../channels.md) says which to choose, with transcripts.
- With `"hosted": {{"return_url": "https://login.example.org/phone"}}` a create also answers `hosted_url`, the address of a [hosted page](../hosted-page.md) in Russian and English. It shows the number, waits, and
  leads back with a `result` that consume then demands.

## Statuses

{table(("status", "reasons", "meaning"), found)}

## Reasons

{table(("reason", "meaning"), ((f"`{each}`", reasons[each]) for each in Reason))}

## Errors of every operation

{everywhere}. The answers of an operation below are what it has beyond them.

{api_reference.body()}
"""


def problems() -> str:
    """Page of the problem codes."""
    details = {code: [detail] for code, detail in DETAIL_OF_HTTP.items()}
    for each in _below(ServiceError):
        if "default_detail" in vars(each):
            details.setdefault(each.code, []).append(each.default_detail)
    answered_by = api_reference.answered_by()
    parts = []
    for status, group in groupby(sorted(STATUS_OF.items(), key=itemgetter(1)), key=itemgetter(1)):
        parts.append(f"## {status} {HTTP_STATUS_CODES[status]}")
        for code, _ in group:
            common = code in api_reference.everywhere()
            facts = {
                "Answered by": "every operation" if common else ", ".join(answered_by.get(code, ())),
                "Class in the clients": f"`{class_of(code)}`" if code in client.codes() else "",
            }
            parts.append(entry(code, " Or: ".join(details[code]), facts))
    body = "\n\n".join(parts)
    return f"""# Problem codes

<!-- Made by `make reference` from service/waitcall/adapters/http/problems.py and service/waitcall/domain/errors.py. -->

Errors are `application/problem+json` (RFC 9457). `code` is stable, so act on it. `detail` is one sentence for people and never has a phone number or a secret; an answer may say something more exact
than what stands here. `retry_after` (and the header `Retry-After`) is there where waiting helps, in seconds. `errors` has messages by field. The log has the `request_id`.

The provider's callbacks get `bad_signature`; no client does. A path or a method that does not exist gets `not_found` or `method_not_allowed`.

{body}
"""


def metrics() -> str:
    """Page of the metrics."""
    everywhere = {each.name for each in Metrics("1", [], []).registry.collect()}
    made = Metrics("1", [], [], worker=True)
    found: dict[bool, list[str]] = {True: [], False: []}
    for each in made.registry.collect():
        name = f"{each.name}_total" if each.type == "counter" else each.name
        facts = {"Type": each.type, "Labels": codes(made.labels[each.name]), "Unit": unit(name)}
        found[each.name in everywhere].append(entry(name, each.documentation, facts))
    service, worker = ("\n\n".join(found[each]) for each in (True, False))
    return f"""# Metrics

<!-- Made by `make reference` from service/waitcall/adapters/telemetry. -->

`/metrics` on the operations port counts all worker processes of the service together, also after one of them died. The labels `client`, `purpose` and `endpoint` have the names of the policy, or `other`.
The chart brings [alerts](../runbooks/availability-burn.md) and [a board](../board.md).

A status that time alone decides (`expired`, `lapsed`) is right to the second when a client asks. The metrics count it within 3 s, once, whether or not a client asks; without `waitcall worker` within 8 s.

## Service and background worker

{service}

## Background worker only

{worker}
"""


def commands() -> str:
    """Page of the command line."""
    told = meanings(ExitCode)
    codes = ((str(each.value), told[each.value]) for each in ExitCode)
    body = "\n\n".join(_command(path, each) for path, each in leaves(main))
    return f"""# Command line

<!-- Made by `make reference` from service/waitcall/cli. -->

`waitcall COMMAND --help` says the same. Settings are read from the environment, as by the service. [Day to day](../operating.md) says when to use which command.
Each command that prints data takes `--json`; `audit export` and `events dead` print JSON lines anyway. There are colours only on a terminal, and none if `NO_COLOR` is set. Ids and addresses are never cut.

## Exit codes

{table(("code", "meaning"), codes)}

## Commands

{body}
"""


def leaves(group: click.Group, path: str = "waitcall") -> Iterator[tuple[str, click.Command]]:
    """Each command below a group, with the words that call it."""
    for name, each in sorted(group.commands.items()):
        if isinstance(each, click.Group):
            yield from leaves(each, f"{path} {name}")
        else:
            yield f"{path} {name}", each


def _command(path: str, command: click.Command) -> str:
    options = [each for each in command.params if isinstance(each, click.Option)]
    found = ((f"`{', '.join(each.opts)}`", each.help or "") for each in options)
    shown = [line.strip() for line in (command.epilog or "").splitlines()[2:]]
    parts = [
        f"### {path}",
        inspect.cleandoc(command.help or ""),
        "\n".join(("```sh", *shown, "```")),
        *([table(("option", "meaning"), found)] if options else []),
    ]
    return "\n\n".join(parts)


def meanings(kind: type[Enum]) -> dict[Any, str]:
    """Return the text below each member of an enum, by the member's value."""
    return {
        ast.literal_eval(member.value): " ".join(ast.literal_eval(text.value).split())
        for member, text in pairwise(ast.walk(ast.parse(inspect.getsource(kind))))
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr)
    }


def _below(kind: type[ServiceError]) -> Iterator[type[ServiceError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def keys(schema: Schema, key: str, path: str = "") -> Iterator[str]:
    """Entry of a key, or those of the keys in its tables."""
    each = schema.fields[key]
    found = below(each)
    if found is None:
        yield _key(schema, key, each, path)
        return
    step, inner = found
    for name in inner.fields:
        yield from keys(inner, name, f"{path}{each.data_key or key}.{step}")


def below(each: kinds.Field[Any]) -> tuple[str, Schema] | None:
    """Find the step and the schema of the tables that a key holds; None where it holds a value."""
    match each:
        case kinds.Nested():
            return "", each.schema
        case kinds.Dict(value_field=kinds.Nested() as nested, key_field=kinds.Field() as key):
            return f"{key.metadata['title']}.", nested.schema
        case kinds.List(inner=kinds.Nested() as nested):
            return "", nested.schema
    return None


def _key(schema: Schema, key: str, each: kinds.Field[Any], path: str = "") -> str:
    name = f"{path}{each.data_key or key}"
    facts = {"Default": _default_of_key(schema, key, each), "Values": values(each), "Unit": unit(name)}
    return entry(name, _meaning(each.metadata["description"], each.metadata["x-since"]), facts)


def values(each: kinds.Field[Any]) -> str:
    """Name the values that a field takes, as far as its validators say."""
    words: Iterable[Any] = ()
    for check in each.validators:
        if isinstance(check, validate.Range):
            return (
                f"{check.min:,} to {check.max:,}"
                if check.min_inclusive
                else f"over {check.min:,}, to {check.max:,}"
            )
        if isinstance(check, validate.OneOf):
            words = check.choices
    match each:
        case kinds.List():
            return f"list: {values(each.inner)}".removesuffix(": ")
        case kinds.Boolean():
            words = (True, False)
        case kinds.Enum():
            refused = {
                one
                for check in each.validators
                if isinstance(check, validate.NoneOf)
                for one in check.iterable
            }
            words = words or [one for one in each.enum if one not in refused]
    told = [_toml(word) if isinstance(each, kinds.Enum | kinds.Boolean) else str(word) for word in words]
    return ", ".join(f"`{word}`" for word in told) if len(told) <= MOST_WORDS else ""


def _meaning(meaning: str, since: str) -> str:
    return meaning if since == FIRST else f"{meaning} Since {since}."


def _default_of_setting(each: Setting) -> str:
    if each.told or each.default is None:
        return each.told or REQUIRED
    return f"`{each.default}`" if each.default else "not set"


def _default_of_key(schema: Schema, key: str, each: kinds.Field[Any]) -> str:
    """Default in words, or as TOML: the field's own, or that of the domain's class."""
    if each.required or each.metadata["told"]:
        return REQUIRED if each.required else str(each.metadata["told"])
    default = each.metadata.get("default", each.load_default)
    if default is missing and isinstance(schema, Keys) and schema.makes is not None:
        default = {one.name: one.default for one in fields(schema.makes)}[each.attribute or key]
    if default in (missing, MISSING, None):
        return "none"
    return f"`{_toml(default)}`"


def _toml(value: Any) -> str:
    # What stands here is written the same in JSON.
    return json.dumps(
        value, ensure_ascii=False, default=lambda each: each.value if isinstance(each, Enum) else sorted(each)
    )


if __name__ == "__main__":
    for file, written in pages().items():
        (PAGES / file).write_text(written, encoding="utf-8")
        sys.stdout.write(f"docs/reference/{file}\n")
