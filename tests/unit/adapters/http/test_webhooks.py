"""The OpenAPI document describes the events that the worker sends."""

import json
from dataclasses import replace

import jsonschema_rs
import pytest

from tests.making import NOW, call_at, opened, pending, seconds
from waitcall.adapters.http.webhooks import webhooks
from waitcall.application.effects import body_of
from waitcall.domain.event import events_of
from waitcall.domain.matching import judge_call
from waitcall.domain.status import Reason
from waitcall.domain.verification import Verification

VERIFIED = judge_call(pending(), call_at(NOW + seconds(5)), NOW + seconds(6), seconds(5))[1]
CONTENT = webhooks()["verification"]["post"]["requestBody"]["content"]["application/json"]
VALIDATOR = jsonschema_rs.validator_for(CONTENT["schema"], validate_formats=True)


@pytest.mark.parametrize(
    ("record", "types"),
    [
        (VERIFIED, ["verification.verified"]),
        (
            VERIFIED.consume("login", "flow", NOW + seconds(7)),
            ["verification.verified", "verification.consumed"],
        ),
        (opened("ver_1").fail(Reason.NUMBER_REFUSED, NOW), ["verification.failed"]),
        (pending().cancel(NOW, Reason.BY_CLIENT), ["verification.canceled"]),
    ],
    ids=["verified", "consumed", "failed", "canceled"],
)
def test_the_document_describes_each_event(record: Verification, types: list[str]) -> None:
    bodies = [json.loads(body_of(event)) for event in events_of(record, NOW)]

    assert [body["type"] for body in bodies] == types
    for body in bodies:
        VALIDATOR.validate(body)
        assert list(body["data"]) == list(CONTENT["schema"]["properties"]["data"]["properties"])


def test_an_event_without_a_reference_is_described() -> None:
    requester = replace(VERIFIED.requester, reference=None)
    (event,) = events_of(replace(VERIFIED, requester=requester), NOW)
    VALIDATOR.validate(json.loads(body_of(event)))


def test_the_example_is_an_event_and_another_body_is_none() -> None:
    VALIDATOR.validate(CONTENT["example"])
    assert not VALIDATOR.is_valid(CONTENT["example"] | {"type": "verification.begun"})
    assert not VALIDATOR.is_valid({"type": "verification.verified"})
