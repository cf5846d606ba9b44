"""No input gives a 500: bytes at the callback, JSON at the API."""

import json
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.conftest import KEY, Running

RELAXED = settings(max_examples=600, deadline=None, database=None, suppress_health_check=list(HealthCheck))
NAMES = st.sampled_from(
    ["waitcall", "phone", "ts", "mes", "to", "id", "status", "charset", "fmt", "sha1", "md5", "x"]
)
VALUES = st.one_of(
    st.sampled_from(
        ["1", "79991234567", "1700000000", "utf-8", "koi8-r", "windows-1251", "utf-16", "", "é", "\x00"]
    ),
    st.text(max_size=20),
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


def form(fields: list[tuple[str, str]]) -> bytes:
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in fields).encode()


def xml(fields: list[tuple[str, str]]) -> bytes:
    return b"<a>" + b"".join(f"<{n}>{v}</{n}>".encode("utf-8", "replace") for n, v in fields) + b"</a>"


def as_json(fields: list[tuple[str, str]]) -> bytes:
    return json.dumps(dict(fields)).encode()


BODIES = st.one_of(
    st.binary(max_size=200),
    FIELDS.map(form),
    FIELDS.map(xml),
    FIELDS.map(as_json),
    st.binary(max_size=50).map(lambda tail: b"{" + tail),
    st.binary(max_size=50).map(lambda tail: b"<" + tail),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
CREATES = st.fixed_dictionaries(
    {},
    optional={
        "phone_number": JSON | st.sampled_from(["+79991234567", "89991234567", "+1"]),
        "purpose": JSON | st.sampled_from(["login", "reset", "foreign"]),
        "reference": JSON,
        "window_seconds": JSON | st.integers(0, 1000),
        "client_ip": JSON | st.ip_addresses().map(str),
        "locale": JSON | st.sampled_from(["ru", "en-GB", "x-a", "zh-Hant-TW", "i-klingon", "und"]),
        "metadata": JSON,
        "more": JSON,
    },
)


def test_no_bytes_at_the_callback_give_a_500(running: Running) -> None:
    client = running.callback.test_client()

    @RELAXED
    @given(query=FIELDS.map(form) | st.binary(max_size=30).map(quote).map(str.encode), body=BODIES)
    def attack(query: bytes, body: bytes) -> None:
        answer = client.post("/callbacks/smsc?" + query.decode("ascii"), data=body)
        assert answer.status_code in (400, 403), answer.text
        assert answer.mimetype == "application/problem+json"

    attack()


def test_no_json_at_the_api_gives_a_500(running: Running) -> None:
    client = running.api.test_client()
    headers = {"Authorization": f"Bearer {KEY}"}
    allowed = {
        "/v1/verifications": {200, 201, 400, 403, 409, 422},
        "/v1/verifications/ver_1/consume": {400, 404, 422},
    }

    @RELAXED
    @given(body=CREATES | JSON)
    def attack(body: object) -> None:
        text = json.dumps(body)
        for path, statuses in allowed.items():
            answer = client.post(path, data=text, headers=headers, content_type="application/json")
            assert answer.status_code in statuses, answer.text
            if answer.status_code == 201:
                client.delete(answer.headers["Location"], headers=headers)

    attack()


def test_no_id_gives_a_500(running: Running) -> None:
    client = running.api.test_client()

    @RELAXED
    @given(verification_id=st.text(min_size=1, max_size=100))
    def attack(verification_id: str) -> None:
        path = f"/v1/verifications/{quote(verification_id, safe='')}"
        answer = client.get(path, headers={"Authorization": f"Bearer {KEY}"})
        assert answer.status_code == 404, answer.text

    attack()
