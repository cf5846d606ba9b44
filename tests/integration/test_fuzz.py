"""Test that no input gives a 500: bytes at every public path, in every form and header, and JSON at the API."""

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.integration.conftest import KEY, SECRET, Running
from tests.integration.test_hosted_page import HOSTED
from tests.making import examples
from tests.own_calls import TWILIO_CALL, sip, telnyx_event, telnyx_form, twilio
from tests.own_doors import DOORS, SIP, TEXML, TWILIO, Door
from tests.wsgi import ask

RELAXED = settings(
    max_examples=examples(600), deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
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


SMSRU_KEY = "sim-smsru-api-id-0001"
OWN = """
[own_numbers]
twilio = ["+74951234567"]
telnyx = ["+74951234568"]
sip = ["+74951234569"]
"""
EVERYTHING = HOSTED + '\n[routing]\ndefault = ["smsc", "smsru", "own"]\n' + OWN
OWN_DOORS = TWILIO.settings | TEXML.settings | SIP.settings
BOUNDARY = "a-boundary"
LINE_ENDS = st.sampled_from(["\r\n", "\n", "\r", "\r\n\r\n", ""])
ENTRY = "callcheck_status\n201737-542\n401\n1767268800"
ODD_NAMES = NAMES | st.sampled_from(["data[0]", "data[]", "data", "hash", "", '"', "\\", "é", "a;b", "name"])
ODD_VALUES = VALUES | st.sampled_from(
    [ENTRY, ENTRY.replace("\n", "\r\n"), "sms_status\n1", "--", f"--{BOUNDARY}", "\r\n"]
)
DISPOSITIONS = st.sampled_from(
    [
        'Content-Disposition: form-data; name="{}"',
        "content-disposition:form-data;name={}",
        'Content-Disposition: form-data; name="{}"; filename="f"',
        "Content-Disposition: form-data; name*=utf-8''{}",
        'Content-Disposition: form-data; name*0="{}"; name*1=x',
        "Content-Disposition: form-data; name",
        "Content-Disposition: form-data",
        "Content-Disposition: ;",
        "Content-Disposition:",
        "Content-Disposition",
        "Content-Type: text/plain; charset=utf-16",
        "X: {}",
        "",
        ": :",
    ]
)


@st.composite
def multipart(draw: st.DrawFn) -> tuple[bytes, str]:
    """Draw a multipart form, of which any piece may be missing, doubled, empty or wrong, and its Content-Type."""
    end = draw(LINE_ENDS)
    pieces = []
    for name, value in draw(st.lists(st.tuples(ODD_NAMES, ODD_VALUES), max_size=5)):
        heads = [each.format(name) for each in draw(st.lists(DISPOSITIONS, max_size=3))]
        part = [f"--{draw(st.sampled_from([BOUNDARY, 'another', '', BOUNDARY + '--']))}", *heads, "", value]
        pieces += draw(st.sampled_from([part, part[1:], part[:-1], part + part, part[::-1], [part[0]]]))
    pieces += draw(st.sampled_from([[f"--{BOUNDARY}--", ""], [f"--{BOUNDARY}--"], [f"--{BOUNDARY}"], []]))
    codec = draw(st.sampled_from(["utf-8", "cp1251", "koi8-r", "utf-16"]))
    content_type = draw(
        st.sampled_from(
            [
                f"multipart/form-data; boundary={BOUNDARY}",
                f'Multipart/Form-Data; boundary="{BOUNDARY}"; charset=utf-16',
                f"multipart/form-data; boundary={BOUNDARY}; boundary=another",
                "multipart/form-data; boundary=",
                "multipart/form-data; boundary=\xe9",
                "multipart/form-data; boundary=(.*)+$",
                "multipart/form-data; boundary=" + "a" * 5000,
                "multipart/form-data",
                "multipart/mixed; boundary=another",
                "application/x-www-form-urlencoded; charset=utf-16",
                "",
                ";",
            ]
        )
    )
    return end.join(pieces).encode(codec, "replace"), content_type


def hostile_xml(fields: list[tuple[str, str]]) -> bytes:
    return b"".join(
        (
            b"<?xml version='1.0' encoding='koi8-r'?>\n<!-- x --><a xmlns='u' b='c'>",
            *(f"<{name}>{value}</{name}><{name}/>".encode("utf-8", "replace") for name, value in fields),
            b"<n><n>1</n></n><![CDATA[<]]>&#0;</a>",
        )
    )


def hostile_json(fields: list[tuple[str, str]]) -> bytes:
    pairs = ", ".join(f"{json.dumps(name)}: {json.dumps([value, {name: None}])}" for name, value in fields)
    return f'{{{pairs}, "phone": 7e99999, "ts": {"9" * 400}, "a": NaN, "mes": "\\ud800", {pairs}}}'.encode()


FORMS = st.one_of(
    multipart(),
    st.tuples(
        st.one_of(
            BODIES,
            st.lists(st.tuples(ODD_NAMES, ODD_VALUES), max_size=8).map(form),
            FIELDS.map(hostile_xml),
            FIELDS.map(hostile_json),
        ),
        st.sampled_from(
            ["", "application/x-www-form-urlencoded", "application/json", "text/xml", "\xff", "a" * 8000]
        ),
    ),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Host", "Authorization", "X-Request-ID", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Cookie",
            "Accept-Language", "Accept", "Content-Type", "Content-Length", "Transfer-Encoding", "Idempotency-Key", "Range",
            "traceparent", "If-None-Match", "Upgrade", "Expect",
        ]
    ),
    st.one_of(
        st.text(st.characters(max_codepoint=255), max_size=40),
        st.sampled_from(
            [
                "", "chunked", "gzip, chunked", "-1", "9" * 30, "1_0", "+1", "Bearer \xff", "bearer", "en" + "-aaaaa" * 1300,
                "x-" * 20, "i-klingon", "de;q=1;q=2, *;q=" + "0" * 400, '"', "[::1]:99999", "a=b; a=b", "bytes=0-",
                "und-u-" + "a0-" * 20, "zh-min-nan, art-lojban, en_US, root",
            ]
        ),
    ),
    max_size=4,
)  # fmt: skip
PATHS = st.one_of(
    st.sampled_from(
        [
            b"/callbacks/smsc", b"/callbacks/smsru", b"/callbacks/twilio", b"/callbacks/telnyx", b"/callbacks/sip", b"/callbacks/smsc/", b"//callbacks/smsc", b"/p/", b"/p", b"/p/" + b"0" * 56,
            b"/p/" + b"0" * 56 + b"/status", b"/p/assets/page.js", b"/p/assets/..%2f..%2fpage.html", b"/p/%00/status", b"/",
            b"/p/" + b"a" * 7000, b"/p/%ff%fe", b"/p/a%2fb/status", b"/static/x", b"*", b"",
        ]
    ),
    st.binary(max_size=40).map(lambda tail: b"/" + quote(tail).encode()),
    st.binary(max_size=40).map(lambda tail: b"/p/" + quote(tail, safe="").encode()),
    st.binary(max_size=40).map(lambda tail: b"/p/" + quote(tail, safe="").encode() + b"/status"),
)  # fmt: skip
QUERIES = st.one_of(
    FIELDS.map(form),
    st.binary(max_size=30).map(quote).map(str.encode),
    st.sampled_from(
        [
            b"lang=ru", b"lang=en" + b"-aaaaa" * 1300, b"lang=x-" + b"a-" * 40, b"lang=%ff", b"lang=&lang=", b"wait=1&wait=2",
            b"wait=%D9%A1", b"wait=" + b"9" * 5000, b"channel=call&channel=", b"&" * 500, b"=", b"%", b"lang=i-klingon",
        ]
    ),
)  # fmt: skip


@pytest.fixture(params=["without a hook", "with a hook"])
def public(request: pytest.FixtureRequest, starting: Callable[..., Running]) -> Running:
    running = starting(
        EVERYTHING,
        WAITCALL_PUBLIC_URL="https://verify.example.org",
        WAITCALL_SMSRU_API_ID=SMSRU_KEY,
        WAITCALL_TRUSTED_HOPS="1",
        **OWN_DOORS,
    )
    if request.param == "with a hook":
        # Tracing hooks into Flask in this way.
        for app in (running.api, running.callback):
            app.before_request(lambda: None)
    return running


@pytest.mark.parametrize("path", [b"/callbacks/smsc", b"/callbacks/smsru"])
def test_no_form_at_a_callback_gives_a_500(public: Running, path: bytes) -> None:
    @RELAXED
    @given(query=QUERIES, written=FORMS, method=st.sampled_from(["POST", "GET"]))
    @example(
        b"",
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", "multipart/form-data; boundary=x"),
        "POST",
    )
    def attack(query: bytes, written: tuple[bytes, str], method: str) -> None:
        body, content_type = written
        answer = ask(public.callback, method, path + b"?" + query, {"Content-Type": content_type}, body)
        reachable = not body and (path.endswith(b"smsru") or method == "GET") and not query
        assert answer.status in ({200} if reachable else {400, 403}), answer

    attack()


@pytest.mark.parametrize("door", DOORS, ids=[each.name for each in DOORS])
def test_no_signed_bytes_at_the_doors_of_own_numbers_give_a_500(public: Running, door: Door) -> None:
    """A provider may send anything under its signature, and what a person puts into a call is among it."""
    now = int(public.clock().timestamp())

    @settings(RELAXED, max_examples=examples(150))
    @given(fields=st.dictionaries(ODD_NAMES, VALUES, max_size=4), changed=JSON, name=st.sampled_from(MEMBERS))
    def attack(fields: dict[str, str], changed: Any, name: str) -> None:
        match door.name:
            case "twilio":
                report = twilio(TWILIO_CALL | fields | {name: str(changed)})
            case "texml":
                report = telnyx_form(now, **fields | {name: str(changed)})
            case "call control":
                report = telnyx_event(now, **fields | {name: changed})
            case _:
                report = sip(**({"ts": now} | fields | {name: changed}))
        answer = ask(public.callback, "POST", door.path, report.headers, report.body)
        assert answer.status in {200, 204, 400, 422}, answer

    attack()


MEMBERS = [
    *(
        "From",
        "To",
        "CallSid",
        "CallStatus",
        "Direction",
        "StirVerstat",
        "ForwardedFrom",
        "ShakenStirAttestation",
    ),
    *(
        "from",
        "to",
        "direction",
        "call_session_id",
        "call_control_id",
        "shaken_stir_attestation",
        "sip_headers",
    ),
    *("caller", "dialled", "call_id", "ts", "nonce", "attestation", "private", "new"),
]


def test_no_public_path_and_no_header_gives_a_500(public: Running) -> None:
    @RELAXED
    @given(
        method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "x"]),
        path=PATHS,
        query=QUERIES,
        headers=HEADERS,
        body=st.binary(max_size=40),
    )
    def attack(method: str, path: bytes, query: bytes, headers: dict[str, str], body: bytes) -> None:
        answer = ask(public.callback, method, path + b"?" + query, headers, body)
        assert answer.status < 500, answer

    attack()


def test_no_header_at_the_api_gives_a_500_before_a_key_is_known(public: Running) -> None:
    @RELAXED
    @given(
        method=st.sampled_from(["GET", "POST", "DELETE"]),
        path=PATHS
        | st.sampled_from(
            [b"/v1/verifications", b"/v1/verifications/ver_1/consume", b"/openapi.json", b"/docs/"]
        ),
        headers=HEADERS,
        body=FORMS.map(lambda written: written[0]),
    )
    def attack(method: str, path: bytes, headers: dict[str, str], body: bytes) -> None:
        assert ask(public.api, method, path, headers, body).status < 500

    attack()


def test_a_signed_message_is_accepted_in_every_form(public: Running) -> None:
    """Both handlers accept forms and multipart bodies, with either line end between the parts."""
    phone, ts = "79991234567", str(int(public.clock().timestamp()))
    digest = hashlib.sha1(f"{phone}:{ts}:{SECRET}".encode()).hexdigest()
    entry = f"callcheck_status\n1-1\n400\n{ts}"
    messages = {
        b"/callbacks/smsc": {"waitcall": "1", "phone": phone, "ts": ts, "sha1": digest},
        b"/callbacks/smsru": {
            "data[0]": entry,
            "hash": hashlib.sha256(f"{SMSRU_KEY}{entry}".encode()).hexdigest(),
        },
    }
    for path, fields in messages.items():
        for end in ("\r\n", "\n"):
            parts = "".join(
                f'--x{end}Content-Disposition: form-data; name="{name}"{end}{end}{value}{end}'
                for name, value in fields.items()
            )
            body = f"{parts}--x--{end}".encode()
            answer = ask(
                public.callback, "POST", path, {"Content-Type": "multipart/form-data; boundary=x"}, body
            )
            assert answer.status == 200, answer
        assert ask(public.callback, "POST", path, {}, form(list(fields.items()))).status == 200


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
