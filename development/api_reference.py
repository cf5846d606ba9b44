"""Parts of docs/reference that come from the OpenAPI document, and the page of the webhooks."""

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook

from development.markdown import codes, entry, table
from waitcall import __version__
from waitcall.adapters.http.answers import PUBLIC_STATUSES
from waitcall.adapters.http.api import build_document
from waitcall.adapters.webhooks.sender import TIMEOUT_SECONDS
from waitcall.application import deliver_webhooks
from waitcall.domain.event import EventType
from waitcall.domain.status import REASONS, Reason

DOCUMENT: Mapping[str, Any] = build_document(__version__)
SCHEMAS: Mapping[str, Any] = DOCUMENT["components"]["schemas"]
LISTED = {
    frozenset(PUBLIC_STATUSES): "a [status](api.md#statuses)",
    frozenset(Reason): "a [reason](api.md#reasons)",
    frozenset(EventType): "an [event](webhooks.md#events)",
}
"""Lists of words that have a table of their own."""


def operations() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Method, path and description of each operation, in the document's order."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method.upper(), path, operation


def refusals(operation: Mapping[str, Any]) -> dict[str, list[str]]:
    """Problem codes of an operation, by HTTP status."""
    return {
        status: [*answer["content"]["application/problem+json"]["examples"]]
        for status, answer in sorted(operation["responses"].items())
        if "application/problem+json" in answer.get("content", {})
    }


def answered_by() -> dict[str, list[str]]:
    """Links to the operations that answer each problem code."""
    found: dict[str, list[str]] = {}
    for _, _, operation in operations():
        link = f"[{operation['operationId'].replace('_', ' ')}](api.md#{anchor(operation['summary'])})"
        for each in refusals(operation).values():
            for code in each:
                found.setdefault(code, []).append(link)
    return found


def anchor(heading: str) -> str:
    """Anchor that the site and the repository's host give to a heading."""
    kept = "".join(each for each in heading.lower() if each.isalnum() or each in "_- ")
    return kept.replace(" ", "-")


def everywhere() -> set[str]:
    """Problem codes that every operation may answer."""
    return set.intersection(
        *({code for each in refusals(one).values() for code in each} for _, _, one in operations())
    )


def body() -> str:
    """Text of all operations, a part for each tag, and of all objects."""
    parts: list[str] = []
    for tag in DOCUMENT["tags"]:
        described = [
            _operation(method, path, one) for method, path, one in operations() if tag["name"] in one["tags"]
        ]
        if described:
            parts += [f"## {tag['name'].capitalize()}", tag["description"], *described]
    objects = (_object(name, schema) for name, schema in sorted(SCHEMAS.items()) if schema.get("properties"))
    return "\n\n".join(
        (*parts, "## Objects", "Fields of requests and answers. `*` marks what is always there.", *objects)
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    (scopes,) = [each["key"] for each in operation["security"]]
    parts = [
        f"### {operation['summary']}",
        f"```http\n{method} {path}\n```",
        " ".join(
            (operation.get("description", "").replace("\n", " "), f"The key needs the scope {codes(scopes)}.")
        ).strip(),
    ]
    given = [
        (f"`{each['name']}`", each["in"], _kind(each["schema"]), each["description"])
        for each in operation.get("parameters", ())
    ]
    if given:
        parts.append(table(("parameter", "in", "type", "meaning"), given))
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        needed = "" if operation["requestBody"]["required"] else " It may be left out."
        parts += [
            f"The body is {_linked(content['schema'])}.{needed}",
            _json(content["example"]) if content["example"] else "",
        ]
    parts.append(table(("status", "answer"), _answers(operation)))
    return "\n\n".join(filter(None, parts))


def _answers(operation: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for status, answer in sorted(operation["responses"].items()):
        if status < "400":
            schema = answer.get("content", {}).get("application/json", {}).get("schema")
            headers = f" Headers: {codes(answer['headers'])}." if "headers" in answer else ""
            yield f"`{status}`", f"{answer['description']}{f' {_linked(schema)}.' if schema else ''}{headers}"
    common = everywhere()
    for status, each in refusals(operation).items():
        own = [f"[`{code}`](problems.md#{code})" for code in each if code not in common]
        if own:
            yield f"`{status}`", ", ".join(own)


def _object(name: str, schema: Mapping[str, Any]) -> str:
    return f"### {name}\n\n{_fields(schema)}"


def _fields(schema: Mapping[str, Any]) -> str:
    # A space that does not break keeps the star with its name.
    star = dict.fromkeys(schema.get("required", ()), "\xa0*")
    found = (
        (f"`{name}`{star.get(name, '')}", _kind(each), each.get("description", ""))
        for name, each in schema["properties"].items()
    )
    return table(("field", "type", "meaning"), found)


def _linked(schema: Mapping[str, Any]) -> str:
    name = schema["$ref"].rpartition("/")[2]
    return f"[{name}](#{anchor(name)})" if SCHEMAS[name].get("properties") else "an empty object"


def _kind(schema: Mapping[str, Any]) -> str:
    """Type of a value and its bounds, in words."""
    if "$ref" in schema:
        return _linked(schema)
    if "anyOf" in schema:
        return " or ".join(_kind(each) for each in schema["anyOf"])
    if "enum" in schema:
        return LISTED.get(frozenset(schema["enum"])) or codes(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if kinds == ["array"]:
        return f"list of {_kind(schema['items'])}"
    words = " or ".join(kinds).replace(
        "object", "object of strings" if "additionalProperties" in schema else "object"
    )
    return f"{words}{_bounds(schema)}"


def _bounds(schema: Mapping[str, Any]) -> str:
    if "format" in schema:
        return f", {schema['format']}"
    if "pattern" in schema:
        return f", `{schema['pattern']}`"
    if "maxProperties" in schema:
        return f", at most {schema['maxProperties']}"
    for least, most, what in (("minimum", "maximum", ""), ("minLength", "maxLength", " characters")):
        if most in schema:
            return f", {schema.get(least, 0):,} to {schema[most]:,}{what}"
    return ""


def _json(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"


def webhooks(statuses: Mapping[str, str], outcomes: Mapping[str, str]) -> str:
    """Page of the webhooks. The mappings have the meaning of each status, and of each outcome of an attempt."""
    (operation,) = [each["post"] for each in DOCUMENT["webhooks"].values()]
    content = operation["requestBody"]["content"]["application/json"]
    headers = ((f"`{each['name']}`", each["description"]) for each in operation["parameters"])
    events = (
        entry(each.value, statuses[each.status], {"Reasons": codes(REASONS[each.status])})
        for each in EventType
    )
    return f"""# Webhook reference

<!-- Made by `make reference` from service/waitcall/adapters/http/webhooks.py, adapters/webhooks and application/deliver_webhooks.py. -->

`waitcall worker` sends each outcome of a verification to the endpoints that the [policy](policy.md#clientsnamewebhooksnameurl) names.
[Webhooks](../webhooks.md) says how to set one up and how to find what failed.

## Events

The type of an event says which status the verification reached. A verification has at most one event of each type; events come in no particular order.

{chr(10).join(f"{each}{chr(10)}" for each in events)}
## Request

{operation["description"]} It is a `POST` with a JSON body and these headers:

{table(("header", "meaning"), headers)}

{_fields(content["schema"])}

Fields of `data`. There is never a phone number.

{_fields(content["schema"]["properties"]["data"])}

{_json(content["example"])}

{_signature(content["example"])}

{_attempts(outcomes)}
"""


def _signature(example: Any) -> str:
    secret = f"whsec_{base64.b64encode(b'an example, 24 bytes or more').decode()}"
    sent = json.dumps(example, separators=(",", ":"))
    at = datetime(2026, 1, 1, 0, 1, 2, tzinfo=UTC)
    sample = {
        "secret": secret,
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "body": sent,
        "webhook-signature": Webhook(secret).sign("evt_1", at, sent),
    }
    shown = "\n".join(f"{name}: {value}" for name, value in sample.items())
    return f"""## Signature

[Standard Webhooks](https://www.standardwebhooks.com) defines it, and has a library for your language. A signature is `v1,` and the base64 of the HMAC-SHA256 of `ID.TIMESTAMP.BODY`:
the two headers and the body's bytes as they came, joined by dots. The key is the secret's base64 behind `whsec_`, decoded.

While a secret is rotated, `webhook-signature` has one signature for each secret of [`WAITCALL_WEBHOOK_SECRETS`](settings.md#waitcall_webhook_secrets), separated by a space: accept the delivery if one is right.
Compare in constant time, and refuse a timestamp that is more than five minutes off.

These values fit together, for a test of your code:

```text
{shown}
```"""


def _attempts(outcomes: Mapping[str, str]) -> str:
    most, longest = deliver_webhooks.MOST_ATTEMPTS, deliver_webhooks.LONGEST_DELAY_SECONDS
    delays = [min(deliver_webhooks.FIRST_DELAY_SECONDS * 2**each, longest) for each in range(most - 1)]
    doubled = ", ".join(f"{each:,}" for each in delays if each < longest)
    facts = (
        ("attempts at one event and endpoint", str(most)),
        ("time for one attempt: lookup, connection and answer", f"{TIMEOUT_SECONDS:g} s"),
        ("time between attempts", f"{doubled} s, then {longest:,} s each; up to a quarter longer, at random"),
        (
            "time from the first attempt to the last",
            f"{sum(delays) / 3600:.1f} to {sum(delays) * 1.25 / 3600:.1f} hours",
        ),
        ("deliveries at the same time, of one worker", str(deliver_webhooks.SLOTS)),
        ("of these to one endpoint", str(deliver_webhooks.SLOTS_OF_ENDPOINT)),
    )
    metric = "[`waitcall_webhook_deliveries_total`](metrics.md#waitcall_webhook_deliveries_total)"
    return f"""## Attempts

{table(("what", "value"), facts)}

An event is delivered at least once: drop duplicates by `webhook-id`. After the last attempt it is a dead letter, which [`waitcall events dead`](cli.md#waitcall-events-dead) prints and
[`waitcall events replay`](cli.md#waitcall-events-replay) delivers again.

## Outcomes of an attempt

{metric} counts attempts by `outcome`.

{table(("outcome", "meaning"), ((f"`{each}`", outcomes[each]) for each in deliver_webhooks.DeliveryOutcome))}"""
