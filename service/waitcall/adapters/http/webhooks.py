"""Webhook requests as the OpenAPI document describes them. ``waitcall worker`` sends them (docs/webhooks.md)."""

from typing import Any

from waitcall.adapters.http.answers import PUBLIC_STATUSES
from waitcall.adapters.http.body import JSON
from waitcall.domain.event import EventType
from waitcall.domain.status import Reason

TAG = {"name": "webhooks", "description": "Requests that this service sends to yours (Standard Webhooks)."}
_HEADERS = {
    "webhook-id": "Id of the event. It is the same in every attempt: drop duplicates by it.",
    "webhook-timestamp": "Time of this attempt in seconds since 1970. Refuse one that is older than five minutes.",
    "webhook-signature": "Signatures by Standard Webhooks, one for each secret, separated by spaces.",
}
_TEXT = {"type": "string"}
_NULL = {"type": "null"}
_REASON = {"anyOf": [_TEXT | {"enum": [each.value for each in Reason]}, _NULL]}
_DATA = {
    "id": _TEXT | {"description": "Secret id of the verification."},
    "status": _TEXT | {"enum": PUBLIC_STATUSES},
    "reason": _REASON,
    "purpose": _TEXT,
    "reference": {"anyOf": [_TEXT, _NULL]},
}
_EVENT = {
    "type": _TEXT | {"enum": [each.value for each in EventType]},
    "timestamp": _TEXT | {"format": "date-time", "description": "Time of the outcome, RFC 3339, UTC."},
    "data": {"type": "object", "properties": _DATA, "required": list(_DATA)},
}
_EXAMPLE = {
    "type": "verification.verified",
    "timestamp": "2026-01-01T00:01:02Z",
    "data": {
        "id": "ver_9b1d0c5ae3f24a7db6f0e81c7a52d3e49b1d0c5ae3f24a7db6f0e81c7a52d3e4",
        "status": "verified",
        "reason": "call_matched",
        "purpose": "login",
        "reference": "pX3cZ0yqT4m8u1VgKf2bQA",
    },
}


def webhooks() -> dict[str, Any]:
    """Return the ``webhooks`` of the OpenAPI document.

    The event's schema is no component, because oapi-codegen drops components that no path refers to.
    """
    event = {"type": "object", "properties": _EVENT, "required": list(_EVENT)}
    headers = [
        {"in": "header", "name": name, "required": True, "description": description, "schema": _TEXT}
        for name, description in _HEADERS.items()
    ]
    operation = {
        "operationId": "receive_event",
        "summary": "Receive the outcome of a verification",
        "description": "An event is delivered at least once, and is only a hint: consume gives the proof.",
        "tags": [TAG["name"]],
        "security": [],
        "parameters": headers,
        "requestBody": {"required": True, "content": {JSON: {"schema": event, "example": _EXAMPLE}}},
        "responses": {
            "204": {"description": "Accepted, like every 2xx."},
            "410": {"description": "Not wanted any more: this event is not sent again."},
        },
    }
    return {"verification": {"post": operation}}
