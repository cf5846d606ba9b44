"""The SIP proxy's callbacks: what is signed, what is refused, and what a call proves."""

import json
from base64 import b64encode, urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.own_calls import (
    CALLER,
    DIALLED,
    SIP_OTHER_SECRET,
    SIP_SECRET,
    Report,
    signed_sip,
    sip,
    sip_signature,
)
from waitcall.adapters.providers.sip.callback import SipCallbackDecoder
from waitcall.domain.channel import Attestation, Provider
from waitcall.domain.errors import CallbackInvalid, CallbackRejected
from waitcall.domain.matching import InboundCall, Kind, OtherMessage, Outcome

SENT = 1795893217
NOW = datetime.fromtimestamp(SENT, UTC) + timedelta(milliseconds=750)
UNMATCHED = OtherMessage(Kind.CALL, Outcome.UNMATCHED)
CALL = InboundCall(
    cli=CALLER,
    at=datetime.fromtimestamp(SENT, UTC),
    dialled=DIALLED,
    provider=Provider.OWN,
    id="1-5498@127.0.0.1",
    attestation=Attestation.FULL,
)


def read(report: Report, *secrets: str) -> InboundCall | OtherMessage:
    decoder = SipCallbackDecoder(secrets or [SIP_SECRET], lambda: NOW)
    return decoder.decode(report.body, report.headers["X-Waitcall-Signature"])


def call(**members: Any) -> Any:
    return read(sip(**({"ts": SENT} | members)))


def test_the_documented_signature_is_made() -> None:
    body = b'{"from":"sipp","to":"15551230001","call_id":"1-5498@127.0.0.1","ts":1795893217,"pai":""}'
    signature = "eo001ojaNTrImOuEOa91xSzYGjZ2PUNGJB4qz-ZPspw"
    assert sip_signature(body, "secret") == signature
    with pytest.raises(CallbackInvalid):  # the signature is right, but the members are of another time
        read(Report(body, {"X-Waitcall-Signature": signature}), "secret")


def test_a_call_is_read() -> None:
    assert call() == CALL


def test_a_call_id_may_have_quotes() -> None:
    assert call(call_id='x","from":"+7999..\\').id == 'x","from":"+7999..\\'


def test_both_secrets_are_accepted_while_rotating() -> None:
    for secret in (SIP_SECRET, SIP_OTHER_SECRET):
        assert read(sip(SENT, secret), SIP_SECRET, SIP_OTHER_SECRET) == CALL
    with pytest.raises(CallbackRejected):
        read(sip(SENT, SIP_OTHER_SECRET))


def test_a_decoder_needs_a_secret() -> None:
    with pytest.raises(ValueError, match="secret"):
        SipCallbackDecoder([], lambda: NOW)


RIGHT = sip(SENT).headers["X-Waitcall-Signature"]


DIGEST = urlsafe_b64decode(f"{RIGHT}=")


@pytest.mark.parametrize(
    "signature",
    [
        "",
        f"{RIGHT}=",
        RIGHT[:-1],
        b64encode(DIGEST).decode(),
        b64encode(DIGEST + b"\xff").decode(),
        DIGEST.hex(),
        RIGHT.swapcase(),
        f" {RIGHT}",
        f"{RIGHT}, {RIGHT}",
        "é" * 43,
    ],
)
def test_another_signature_is_refused(signature: str) -> None:
    report = sip(SENT)
    with pytest.raises(CallbackRejected):
        read(Report(report.body, {"X-Waitcall-Signature": signature}))


@pytest.mark.parametrize("body", [b"", sip(SENT).body + b" ", sip(SENT).body.replace(b"0123", b"0124")])
def test_another_body_is_refused(body: bytes) -> None:
    with pytest.raises(CallbackRejected):
        read(Report(body, sip(SENT).headers))


@pytest.mark.parametrize("name", [*json.loads(sip(SENT).body)])
@pytest.mark.parametrize("value", [None, 1.5, [], {}, 10**400, "\ud800", "wrong \0"])
def test_a_member_of_another_type_or_form_is_invalid(name: str, value: Any) -> None:
    if name in ("caller", "dialled", "to") and isinstance(value, str):
        assert call(**{name: value}) in (UNMATCHED, CALL)
        return
    with pytest.raises(CallbackInvalid):
        call(**{name: value})


@pytest.mark.parametrize("name", [*json.loads(sip(SENT).body)])
def test_a_missing_member_is_invalid(name: str) -> None:
    given = json.loads(sip(SENT).body)
    del given[name]
    with pytest.raises(CallbackInvalid):
        read(signed_sip(json.dumps(given).encode()))


@pytest.mark.parametrize(
    "body",
    [
        sip(SENT, more=1).body,
        sip(SENT).body.replace(b'"caller"', b'"caller": "+12025550199", "caller"'),
        sip(SENT).body.replace(b'"private": false', b'"private": false, "private": false'),
        sip(SENT).body.replace(str(SENT).encode(), f'"{SENT}"'.encode()),
        sip(SENT).body.replace(str(SENT).encode(), f"{SENT}.0".encode()),
        sip(SENT).body.replace(str(SENT).encode(), b"NaN"),
        sip(SENT).body.replace(str(SENT).encode(), b"true"),
        sip(SENT).body.replace(str(SENT).encode(), b"9" * 5000),
        b"[" + sip(SENT).body + b"]",
        b"",
        b"{",
        b"null",
        b"\xff",
        b"\xef\xbb\xbf" + sip(SENT).body,
        sip(SENT).body.replace(b"1-5498", b"\xff"),
        b"[" * 60_000,
    ],
)
def test_another_document_is_invalid(body: bytes) -> None:
    with pytest.raises(CallbackInvalid):
        read(signed_sip(body))


@pytest.mark.parametrize(
    "members",
    [
        {"nonce": "0" * 15},
        {"nonce": "0" * 65},
        {"nonce": "0" * 15 + "="},
        {"call_id": ""},
        {"call_id": "a" * 1001},
        {"call_id": "a\nb"},
        {"call_id": "\ud800"},
        {"attestation": "a"},
        {"attestation": "Z"},
        {"attestation": "none"},
        {"private": 0},
        {"diverted": "false"},
    ],
)
def test_a_member_that_is_not_of_its_form_is_invalid(members: dict[str, Any]) -> None:
    with pytest.raises(CallbackInvalid):
        call(**members)


@pytest.mark.parametrize("age", [900, 0, -5])
def test_a_call_inside_the_window_counts(age: int) -> None:
    assert read(sip(SENT - age)).at == CALL.at - timedelta(seconds=age)  # type: ignore[union-attr]


@pytest.mark.parametrize("age", [901, -6, SENT, -(10**12)])
def test_an_old_or_future_call_is_invalid(age: int) -> None:
    with pytest.raises(CallbackInvalid):
        read(sip(SENT - age))


NO_NUMBERS = [
    *("", "<null>", "+", "0", "+12025550123;npdi", "%2B12025550123", "1202555012a", "1" * 300, "a" * 300),
    *(
        "+１２０２５５５０１２３",
        "+12025550123\n",
        " +12025550123",
        "123456",
        "1234567890123456",
        "sip:+12025550123",
    ),
]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number_is_unmatched(text: str) -> None:
    assert call(caller=text) == UNMATCHED
    assert call(dialled=text) == UNMATCHED


@pytest.mark.parametrize(
    "caller",
    [
        *(
            "266696687",
            "2562533",
            "+8656696",
            "+86282452253",
            "+464",
            "+7378742833",
            "+7378742883",
            "+7748283",
        ),
        *("anonymous", "Unknown", "RESTRICTED", "private", "unavailable", "blocked"),
    ],
)
def test_a_withheld_caller_is_unmatched(caller: str) -> None:
    assert call(caller=caller) == UNMATCHED


def test_a_private_call_is_unmatched() -> None:
    assert call(private=True) == UNMATCHED


@pytest.mark.parametrize("digits", [{"caller": CALLER[1:]}, {"dialled": DIALLED[1:]}])
def test_digits_without_plus_are_no_number(digits: dict[str, str]) -> None:
    """They may be a national number, and digits of one country are a number of another."""
    assert call(**digits) == OtherMessage(Kind.CALL, Outcome.UNMATCHED)


@pytest.mark.parametrize(
    ("letter", "attestation"),
    [
        ("A", Attestation.FULL),
        ("B", Attestation.PARTIAL),
        ("C", Attestation.GATEWAY),
        ("", Attestation.NONE),
    ],
)
def test_the_proxy_says_what_the_carrier_vouches_for(letter: str, attestation: Attestation) -> None:
    assert call(attestation=letter).attestation is attestation


def test_a_diverted_call_is_not_vouched_for() -> None:
    assert (call(diverted=True).diverted, call(diverted=True).is_vouched_for) == (True, False)
