"""Steps of one verification. ``make run`` prints them as curl commands, and ``make demo`` performs them."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from development.stack import API_KEY, Stack

NEW_PHONE = "PHONE=+7999$(od -An -N8 -tu8 /dev/urandom | tr -d ' \\n' | tail -c 7)"
"""A random number, because one that was just verified has to wait for its next verification."""
NEW_REFERENCE = "REFERENCE=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n')"


@dataclass(frozen=True)
class Step:
    """HTTP request of one step.

    In title, URL and body ``{phone}`` and ``{reference}`` stand for the requester's values, ``{id}`` and ``{number}`` for
    those in the answer to the create. ``expected`` is the status of the answer, and a member of its JSON with its value.
    """

    title: str
    method: str
    url: str
    expected: tuple[int, str, Any]
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
            text = json.dumps(self.body).replace('"', '\\"')
            for name in ("phone", "number", "reference"):
                text = text.replace("{" + name + "}", f"${name.upper()}")
            parts.append(f"-H 'Content-Type: application/json' -d \"{text}\"")
        parts.append(f'"{self.url.replace("{id}", "$ID")}"')
        return " ".join(parts)

    def perform(self, found: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Send the request, with the ``found`` values filled in. Return the status and the JSON of the answer."""
        text = filled(json.dumps(self.body), found) if self.body is not None else ""
        headers = {"Content-Type": "application/json"} if text else {}
        if self.keyed:
            headers["Authorization"] = f"Bearer {API_KEY}"
        request = urllib.request.Request(  # noqa: S310  loopback
            filled(self.url, found), data=text.encode() or None, headers=headers, method=self.method
        )
        try:
            with urllib.request.urlopen(request, timeout=40) as response:  # noqa: S310  loopback
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def filled(text: str, found: dict[str, str]) -> str:
    """Return the text with the found values in the places of their names."""
    for name, value in found.items():
        text = text.replace("{" + name + "}", value)
    return text


def steps(stack: Stack) -> list[Step]:
    """Return the steps: create, dial, read, consume, and consume again."""
    path = f"{stack.api}/v1/verifications"
    created = {"phone_number": "{phone}", "purpose": "login", "reference": "{reference}"}
    proof = {"purpose": "login", "reference": "{reference}"}
    dialled = {"cli": "{phone}", "did": "{number}"}
    consume = f"{path}/{{id}}/consume"
    return [
        Step("ask for a number that proves {phone}", "POST", path, (201, "status", "pending"), created),
        Step(
            *("dial {number}, as the person would", "POST", f"{stack.control}/dial", (200, "reported", True)),
            dialled,
            keyed=False,
        ),
        Step("wait for the call", "GET", f"{path}/{{id}}?wait=10", (200, "status", "verified")),
        Step("consume the result", "POST", consume, (200, "status", "consumed"), proof),
        Step("try to consume it again", "POST", consume, (409, "code", "already_consumed"), proof),
    ]


def lines(stack: Stack) -> list[str]:
    """Return the steps, up to the first consume, as the lines of a shell script that may be run again and again."""
    create, *rest = steps(stack)[:-1]
    return [
        f"KEY={API_KEY}",
        NEW_PHONE,
        NEW_REFERENCE,
        f'ANSWER=$({create.curl()}); echo "$ANSWER"',
        """ID=$(echo "$ANSWER" | sed -E 's/.*"id": ?"([^"]+)".*/\\1/')""",
        """NUMBER=$(echo "$ANSWER" | sed -E 's/.*"number": ?"([^"]+)".*/\\1/')""",
        *(step.curl() for step in rest),
    ]
