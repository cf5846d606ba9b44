"""Check of a problem, for every test of the API."""

PATH = "/v1/verifications"


def problem(response, status: int, code: str) -> dict:
    """Assert that a response is this problem (contract, section 6), and return its body."""
    body = response.get_json(force=True)
    assert (response.status_code, body["code"]) == (status, code), body
    assert response.mimetype == "application/problem+json"
    assert body["status"] == status
    assert {"type", "title", "detail", "instance"} <= set(body)
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert ("retry_after" in body) == ("Retry-After" in response.headers)
    return body
