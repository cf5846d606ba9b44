"""Steps of one verification. ``make run`` prints them as curl commands, and ``make demo`` performs them."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from development.stack import API_KEY, Stack

SUBSCRIBER = "+79991234567"
NEW_REFERENCE = "REFERENCE=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n')"


@dataclass(frozen=True)
class Step:
    """HTTP request of one step.

    In its URL and body ``{id}`` and ``{number}`` stand for values from the answer to the create, ``{reference}`` for a new one.
    """

    title: str
    method: str
    url: str
    body: dict[str, str] | None = None
    keyed: bool = True

    def curl(self) -> str:
        """Return the request as a curl command for a shell."""
        parts = ["curl -s"]
        if self.method != "GET":
            parts.append(f"-X {self.method}")
        if self.keyed:
            parts.append('-H "Authorization: Bearer $KEY"')
        if self.body is not None:
            text = json.dumps(self.body)
            for name in ("number", "reference"):
                text = text.replace("{" + name + "}", f"${name.upper()}")
            quoted = f'"{text.replace(chr(34), chr(92) + chr(34))}"' if "$" in text else f"'{text}'"
            parts.append(f"-H 'Content-Type: application/json' -d {quoted}")
        parts.append(f'"{self.url.replace("{id}", "$ID")}"')
        return " ".join(parts)

    def perform(self, found: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Send the request, with the ``found`` values filled in. Return the status and the JSON of the answer."""
        text = json.dumps(self.body) if self.body is not None else ""
        for name, value in found.items():
            text = text.replace("{" + name + "}", value)
        headers = {"Content-Type": "application/json"} if text else {}
        if self.keyed:
            headers["Authorization"] = f"Bearer {API_KEY}"
        url = self.url.replace("{id}", found.get("id", ""))
        request = urllib.request.Request(  # noqa: S310  loopback
            url, data=text.encode() or None, headers=headers, method=self.method
        )
        try:
            with urllib.request.urlopen(request, timeout=40) as response:  # noqa: S310  loopback
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def steps(stack: Stack) -> list[Step]:
    """Return the steps: create, dial, read, consume."""
    path = f"{stack.api}/v1/verifications"
    created = {"phone_number": SUBSCRIBER, "purpose": "login", "reference": "{reference}"}
    proof = {"purpose": "login", "reference": "{reference}"}
    dialled = {"cli": SUBSCRIBER, "did": "{number}"}
    return [
        Step("create: ask for a number to dial", "POST", path, created),
        Step(
            "dial it, as the person would (simulator)", "POST", f"{stack.control}/dial", dialled, keyed=False
        ),
        Step("read, waiting up to 10 s for the call", "GET", f"{path}/{{id}}?wait=10"),
        Step("consume, once", "POST", f"{path}/{{id}}/consume", proof),
    ]


def lines(stack: Stack) -> list[str]:
    """Return the steps as the lines of a shell script."""
    create, *rest = steps(stack)
    return [
        f"KEY={API_KEY}",
        NEW_REFERENCE,
        f'ANSWER=$({create.curl()}); echo "$ANSWER"',
        """ID=$(echo "$ANSWER" | sed -E 's/.*"id": ?"([^"]+)".*/\\1/')""",
        """NUMBER=$(echo "$ANSWER" | sed -E 's/.*"number": ?"([^"]+)".*/\\1/')""",
        *(step.curl() for step in rest),
    ]
