"""Response bodies are built without the schema, but match it and so the OpenAPI document."""

from dataclasses import replace

import pytest

from tests.making import NOW, NUMBER, call_at, opened, pending, seconds
from waitcall.adapters.http.answers import EXAMPLE, VerificationResponse, dump_verification
from waitcall.domain.matching import judge_call
from waitcall.domain.status import Reason
from waitcall.domain.verification import Verification


def verified() -> Verification:
    return judge_call(pending(), call_at(NOW + seconds(5), NUMBER), NOW + seconds(6), seconds(5))[1]


def test_the_example_matches_the_schema() -> None:
    assert list(EXAMPLE) == list(VerificationResponse().fields)
    assert VerificationResponse().validate(EXAMPLE) == {}


@pytest.mark.parametrize(
    "record",
    [
        pending(),
        replace(pending(), metadata={"a": "b"}),
        verified(),
        verified().consume("login", "flow", NOW + seconds(7)),
        opened("ver_1").fail(Reason.NUMBER_REFUSED, NOW),
    ],
    ids=["pending", "with metadata", "verified", "consumed", "failed"],
)
def test_a_response_matches_its_schema(record: Verification) -> None:
    schema = VerificationResponse()
    answer = dump_verification(record, NOW)

    assert list(answer) == list(schema.fields)
    assert schema.dump(answer) == answer
    assert schema.validate(answer) == {}
