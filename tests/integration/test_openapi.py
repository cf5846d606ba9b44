"""Test the running API against its OpenAPI document: no 5xx and no undocumented answer."""

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from development.demo import SUBSCRIBER
from examples.__main__ import KNOWN
from simulator.control import CALLER
from tests.integration.conftest import KEY, OPERATOR_KEY, POLICY, Running
from tests.making import examples

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    ignored_auth,
    unsupported_method,
)


OPERATIONS = [
    ("/v1/verifications", "POST"),
    ("/v1/verifications/{verification_id}", "GET"),
    ("/v1/verifications/{verification_id}", "DELETE"),
    ("/v1/verifications/{verification_id}/consume", "POST"),
    ("/v1/verifications/{verification_id}/fallback", "POST"),
    ("/v1/verifications/{verification_id}/resend", "POST"),
    ("/v1/verifications/{verification_id}/check", "POST"),
    ("/v1/operator/explain", "POST"),
    ("/v1/operator/unblock", "POST"),
    ("/v1/operator/lists", "GET"),
    ("/v1/operator/lists", "POST"),
    ("/v1/operator/lists/remove", "POST"),
]


def described(running: Running) -> Any:
    """Return the served document with closed schemas.

    Clients must accept unknown fields, but this test must find every undocumented one.
    """
    schema = schemathesis.openapi.from_wsgi("/openapi.json", running.api)
    for each in schema.raw_schema["components"]["schemas"].values():
        each["additionalProperties"] = False
    return schema


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_no_input_gets_an_undocumented_answer(
    running: Running, path: str, method: str, mode: GenerationMode
) -> None:
    schema = described(running)
    tried = 0

    @given(case=schema[path][method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples(200),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def attack(case: schemathesis.Case) -> None:
        nonlocal tried
        tried += 1
        key = OPERATOR_KEY if "/operator/" in path else KEY
        case.call_and_validate(headers={"Authorization": f"Bearer {key}"}, checks=list(CHECKS))

    attack()
    assert tried >= 20


def test_the_tested_operations_are_all_of_the_document(running: Running) -> None:
    document = running.api.test_client().get("/openapi.json").get_json()
    documented = {
        (path, method.upper())
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }

    assert documented == set(OPERATIONS)


def test_a_live_verification_conforms_in_every_state(running: Running) -> None:
    """Random input does not reach the 2xx answers, so this test makes them and checks them by the same schema."""
    schema = described(running)
    headers = {"Authorization": f"Bearer {KEY}"}
    path = "/v1/verifications/{verification_id}"
    proof = {"purpose": "login", "reference": "flow"}

    def send(route: str, method: str, status: int, **arguments: object) -> dict:
        case = schema[route][method].Case(**arguments)
        response = case.call_and_validate(headers=headers, checks=list(CHECKS[1:5]))
        assert response.status_code == status
        return json.loads(response.text)

    asked = {"phone_number": "+79991234567", **proof}
    created = send("/v1/verifications", "POST", 201, body=asked)
    again = send("/v1/verifications", "POST", 200, body=asked)
    where = {"verification_id": created["id"]}
    assert again["id"] == created["id"]
    send("/v1/verifications", "POST", 409, body={**asked, "reference": "other"})
    send(path, "GET", 200, path_parameters=where, query={"wait": 0})
    send(f"{path}/consume", "POST", 409, path_parameters=where, body=proof)
    running.call()
    send(path, "GET", 200, path_parameters=where)
    send(f"{path}/consume", "POST", 403, path_parameters=where, body={"purpose": "login"})
    send(f"{path}/consume", "POST", 200, path_parameters=where, body=proof)
    send(path, "DELETE", 409, path_parameters=where)
    running.simulator.faults.load([{"kind": "error", "value": 3}], None)
    failed = send("/v1/verifications", "POST", 502, body=asked)
    send(path, "GET", 200, path_parameters={"verification_id": failed["instance"].rpartition("/")[2]})
    lapsed = send("/v1/verifications", "POST", 201, body=asked)
    running.clock.advance(900)
    send(f"{path}/consume", "POST", 410, path_parameters={"verification_id": lapsed["id"]}, body=proof)


def test_every_channel_conforms_in_every_state(running: Running) -> None:
    schema = described(running)
    headers = {"Authorization": f"Bearer {KEY}"}
    path = "/v1/verifications/{verification_id}"

    def send(route: str, status: int, verification_id: str = "", **body: object) -> dict:
        where = {"verification_id": verification_id} if verification_id else None
        case = schema[route]["POST"].Case(path_parameters=where, body=body)
        response = case.call_and_validate(headers=headers, checks=list(CHECKS[1:5]))
        assert response.status_code == status, response.text
        return json.loads(response.text)

    asked = {"phone_number": "+79991234567", "purpose": "any_channel"}
    made = send("/v1/verifications", 201, **asked)["id"]
    send(f"{path}/check", 409, made, code="123456")
    send(f"{path}/resend", 409, made)
    text = send(f"{path}/fallback", 200, made)["text_in"]
    running.text(text["number"].lstrip("+"), "no such text")
    send(f"{path}/fallback", 200, made)
    send(f"{path}/fallback", 409, made)
    send(f"{path}/resend", 429, made)
    send(f"{path}/check", 422, made, code="12345")
    send(f"{path}/check", 422, made, code=f"{(int(running.code()) + 1) % 1000000:06}")
    send(f"{path}/check", 200, made, code=running.code())
    running.clock.advance(31)
    steps = send("/v1/verifications", 201, **asked | {"purpose": "two_steps"})["id"]
    running.call()
    send(f"{path}/resend", 200, steps)
    running.clock.advance(900)
    send(f"{path}/check", 410, steps, code=running.code())
    running.simulator.faults.load([{"kind": "error", "value": 6}], None)
    send("/v1/verifications", 502, **asked | {"channel": "code"})
    send("/v1/verifications", 422, **asked | {"channel": "pigeon"})
    send("/v1/verifications", 422, **asked | {"purpose": "login", "channel": "code"})


def test_a_missing_captcha_is_refused_with_the_address_of_its_image(starting: Callable[..., Running]) -> None:
    running = starting(
        POLICY + '[captcha]\nabove = ["1/h"]\nimage_url = "https://smsc.example/imgcode.php"\n'
    )
    ask = {"purpose": "any_channel", "channel": "code"}
    assert running.create(**ask).status_code == 201
    running.clock.advance(901)

    refused = running.create(**ask)
    assert (refused.status_code, refused.get_json()["code"]) == (403, "captcha_required")
    assert refused.get_json()["image_url"] == "https://smsc.example/imgcode.php"
    with urllib.request.urlopen(f"{running.simulator.base_url}/imgcode.php?1.1", timeout=5) as picture:
        assert picture.read(8) == b"\x89PNG\r\n\x1a\n"
    wrong = running.create(**ask, captcha={"code": "nope", "user_ip": "127.0.0.1"})
    assert (wrong.status_code, wrong.get_json()["code"]) == (422, "captcha_rejected")
    code = running.simulator.office.picture("127.0.0.1")
    right = running.create(**ask, captcha={"code": code, "user_ip": "127.0.0.1"})
    assert right.status_code == 201


def test_the_example_of_a_create_is_a_number_that_no_handset_and_no_example_uses(running: Running) -> None:
    client = running.api.test_client()
    create = client.get("/openapi.json").get_json()["paths"]["/v1/verifications"]["post"]
    example = create["requestBody"]["content"]["application/json"]["example"]
    assert example["phone_number"] not in (CALLER, KNOWN, SUBSCRIBER)
    # "Try it out" on the documentation page sends it.
    made = client.post("/v1/verifications", json=example, headers={"Authorization": f"Bearer {KEY}"})
    assert made.status_code == 201


def test_the_documentation_page_loads_nothing_from_other_hosts(running: Running) -> None:
    client = running.api.test_client()
    page = client.get("/docs")

    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text
    for asset in ("swagger-ui.css", "swagger-ui-bundle.js", "start.js", "favicon-32x32.png"):
        with client.get(f"/docs/{asset}") as response:
            assert response.status_code == 200
    assert client.get("/docs/..%2f..%2fetc").status_code == 404
