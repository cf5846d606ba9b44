"""Test the answers to the provider's callbacks."""

from tests.integration.api.conftest import problem
from tests.integration.conftest import Running


def test_each_kind_of_callback_gets_its_answer(running: Running) -> None:
    client = running.callback.test_client()
    assert client.get("/callbacks/smsc").text == "OK"
    problem(client.post("/callbacks/smsc", data=b""), 403, "bad_signature")
    problem(
        client.post("/callbacks/smsc", data={"waitcall": "1", "phone": "1", "ts": "1"}), 403, "bad_signature"
    )
    problem(
        client.post("/callbacks/smsc", data={"waitcall": "1", "phone": "x", "ts": "1"}),
        400,
        "invalid_request",
    )
    problem(client.post("/callbacks/smsc", data=b"x" * 65537), 413, "body_too_large")
    problem(running.call(secret="another-secret-16"), 403, "bad_signature")
    problem(client.put("/callbacks/smsc"), 405, "method_not_allowed")
