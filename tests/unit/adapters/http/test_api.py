"""The OpenAPI document has what generators of clients need. Generated clients are tested in tests/end_to_end."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from waitcall.adapters.http.api import build_document

DOCUMENT = build_document("1")
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    operation["operationId"]: operation
    for item in (*DOCUMENT["paths"].values(), *DOCUMENT["webhooks"].values())
    for method, operation in item.items()
    if method != "parameters"
}


def below(part: Any) -> Iterator[dict[str, Any]]:
    """Yield each object of the document."""
    if isinstance(part, dict):
        yield part
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from below(each)


def test_each_operation_has_a_name_that_says_what_it_does() -> None:
    assert set(OPERATIONS) == {
        *("create", "read", "consume", "cancel", "fallback", "resend", "check"),
        *("explain", "unblock", "list_entries", "put_list_entry", "remove_list_entry", "receive_event"),
    }


def test_each_answer_with_a_verification_and_each_problem_has_a_valid_example() -> None:
    examples = DOCUMENT["components"]["examples"]
    seen = 0
    for operation in OPERATIONS.values():
        for content in (
            each for answer in operation["responses"].values() for each in answer.get("content", {}).values()
        ):
            name = content["schema"]["$ref"].rpartition("/")[2]
            if name not in ("Verification", "Problem"):
                continue
            values = (
                [content["example"]]
                if name == "Verification"
                else [
                    examples[each["$ref"].rpartition("/")[2]]["value"]
                    for each in content["examples"].values()
                ]
            )
            validator = jsonschema_rs.validator_for(
                {"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}}
            )
            for value in values:
                validator.validate(value)
                seen += 1
    assert seen > 100


def test_the_example_of_a_problem_is_the_one_of_its_code() -> None:
    for code, example in DOCUMENT["components"]["examples"].items():
        assert example["value"]["code"] == code
        assert example["value"]["detail"].endswith(".")


def test_the_webhook_has_an_operation_of_its_own_tag() -> None:
    """A tag of the paths would make generators write one class twice, and the second has only the webhook."""
    tags = {name: operation["tags"] for name, operation in OPERATIONS.items()}
    assert [name for name, each in tags.items() if each == ["webhooks"]] == ["receive_event"]
    assert {each["name"] for each in DOCUMENT["tags"]} == {tag for each in tags.values() for tag in each}


def test_answers_are_open_to_new_fields_and_requests_are_not() -> None:
    asked = {
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for name, operation in OPERATIONS.items()
        if "requestBody" in operation and name != "receive_event"
    } | {"Captcha", "Context", "Hosted"}
    closed = {name for name, schema in SCHEMAS.items() if schema.get("additionalProperties") is False}
    assert closed == asked


def test_no_enum_has_a_null_which_generators_take_for_a_word() -> None:
    enums = [part["enum"] for part in below(DOCUMENT) if isinstance(part.get("enum"), list)]
    assert len(enums) > 10
    assert [each for each in enums if None in each] == []
    assert {"type": "null"} in SCHEMAS["Verification"]["properties"]["reason"]["anyOf"]


def test_patterns_are_valid_in_other_languages() -> None:
    patterns = [part["pattern"] for part in below(DOCUMENT) if isinstance(part.get("pattern"), str)]
    assert patterns
    assert not [each for each in patterns if re.search(r"\\[AZz]|\(\?", each)]


@pytest.mark.parametrize("key", ["servers", "webhooks", "components", "tags"])
def test_the_document_is_whole(key: str) -> None:
    assert DOCUMENT[key]
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
