"""Telnyx's webhooks: Call Control and TeXML, what is signed, what is refused, and what a call proves."""

import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.own_calls import (
    CALLER,
    DIALLED,
    FORM,
    JSON,
    TELNYX_KEY,
    TELNYX_OTHER_KEY,
    Report,
    event,
    public,
    telnyx,
    telnyx_event,
    telnyx_form,
)
from waitcall.adapters.providers.telnyx.callback import TelnyxCallbackDecoder
from waitcall.domain.channel import Attestation, Provider
from waitcall.domain.errors import CallbackMalformed, CallbackRejected
from waitcall.domain.matching import InboundCall, Kind, OtherMessage, Outcome, ParkedCall

SENT = 1767225600
NOW = datetime.fromtimestamp(SENT, UTC) + timedelta(milliseconds=250)
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
EXAMPLE = Report(
    b'{"data":{"event_type":"call.initiated","id":"e1","payload":{"call_session_id":"s1","direction":"incoming",'
    b'"from":"+12025550123","shaken_stir_attestation":"A","shaken_stir_validated":true,"to":"+12025550142"}}}',
    {
        "telnyx-timestamp": str(SENT),
        "telnyx-signature-ed25519": "CSiGUJ2A4Blai+rmT1bdcx6mGsLUw4rstzA3YLuuR8l9Bzd5eLrGXI0nxOEumenkNh2hpTPzQcn0cZGX+zimAQ==",
    },
)
EXAMPLE_FORM = Report(
    b"AccountSid=a1&CallSid=v3%3Ax&CallStatus=ringing&From=%2B12025550123&ShakenStirAttestation=A"
    b"&ShakenStirValidated=true&To=%2B12025550142",
    {
        "telnyx-timestamp": str(SENT),
        "telnyx-signature-ed25519": "6xyXKpeS7YTeIMt7XFgUN6nSOSgY9S20MTD71Di089SG7fJvIJGF1lYDVbQtrrgd15fOhEolbOcvAXdoTP9RCg==",
    },
)
CALL = InboundCall(
    cli=CALLER,
    at=datetime.fromtimestamp(SENT, UTC),
    dialled=DIALLED,
    provider=Provider.OWN,
    id="session-1",
    attestation=Attestation.FULL,
)
OTHER, UNMATCHED, MALFORMED = (
    OtherMessage(Kind.CALL, each) for each in (Outcome.OTHER, Outcome.UNMATCHED, Outcome.MALFORMED)
)
PARKED = ParkedCall("v3:control-1", "event-1")


def decoder(*keys: str) -> TelnyxCallbackDecoder:
    return TelnyxCallbackDecoder([b64decode(key) for key in keys or [PUBLIC]], lambda: NOW)


def read(report: Report, **headers: str) -> tuple[Any, Any]:
    given = report.headers | headers
    return decoder().decode_event(report.body, given["telnyx-signature-ed25519"], given["telnyx-timestamp"])


def read_form(report: Report, **headers: str) -> Any:
    given = report.headers | headers
    return decoder().decode_form(report.body, given["telnyx-signature-ed25519"], given["telnyx-timestamp"])


def call(**payload: Any) -> Any:
    return read(telnyx_event(SENT, **payload))[0]


def with_data(**data: Any) -> Report:
    return telnyx(json.dumps({"data": event()["data"] | data}).encode(), JSON, SENT)


def test_the_documented_examples_are_accepted() -> None:
    assert public(TELNYX_KEY) == PUBLIC
    assert len(EXAMPLE.body) == 209
    found, parked = read(EXAMPLE)
    assert (found.cli, found.dialled, found.id, found.at) == (CALLER, DIALLED, "s1", CALL.at)
    assert (found.attestation, found.is_dated, parked) == (Attestation.FULL, True, None)
    form = read_form(EXAMPLE_FORM)
    assert (form.cli, form.dialled, form.id, form.at) == (CALLER, DIALLED, "v3:x", CALL.at)
    assert form.is_vouched_for


def test_an_event_gives_the_call_and_what_ends_it() -> None:
    assert read(telnyx_event(SENT)) == (CALL, PARKED)


def test_the_next_key_is_accepted_while_rotating() -> None:
    report = telnyx_event(SENT, TELNYX_OTHER_KEY)
    given = report.body, report.headers["telnyx-signature-ed25519"], report.headers["telnyx-timestamp"]
    assert decoder(PUBLIC, public(TELNYX_OTHER_KEY)).decode_event(*given) == (CALL, PARKED)
    with pytest.raises(CallbackRejected):
        decoder().decode_event(*given)


def test_a_decoder_needs_a_key() -> None:
    with pytest.raises(ValueError, match="key"):
        TelnyxCallbackDecoder([], lambda: NOW)


@pytest.mark.parametrize("off", [-300, 300])
def test_a_time_at_the_tolerance_is_accepted(off: int) -> None:
    found, _ = read(telnyx_event(SENT + off))
    assert found.at == CALL.at + timedelta(seconds=off)


@pytest.mark.parametrize(
    "timestamp",
    [
        *(
            str(SENT - 301),
            str(SENT + 301),
            f"-{SENT}",
            "9" * 20,
            "",
            "0",
            f"{SENT}.0",
            f" {SENT}",
            f"+{SENT}",
        ),
        *("abc", "１７６７２２５６００", f"{SENT}|", "1_767_225_600", f"{SENT}\n"),
    ],
)
def test_a_timestamp_that_is_signed_but_wrong_is_refused(timestamp: str) -> None:
    for report, reader in (
        (telnyx(EXAMPLE.body, JSON, timestamp), read),
        (telnyx(EXAMPLE_FORM.body, FORM, timestamp), read_form),
    ):
        with pytest.raises(CallbackRejected):
            reader(report)


RIGHT = EXAMPLE.headers["telnyx-signature-ed25519"]


@pytest.mark.parametrize(
    "signature",
    [
        "",
        RIGHT[:-2],
        RIGHT + "=",
        RIGHT.lower(),
        b64encode(b64decode(RIGHT)[:63]).decode(),
        b64encode(b64decode(RIGHT) + b"\0").decode(),
        b64decode(RIGHT).hex(),
        "!" * 88,
        "é" * 88,
        b64encode(bytes(64)).decode(),
        RIGHT.replace("/", "_").replace("+", "-"),
        EXAMPLE_FORM.headers["telnyx-signature-ed25519"],
    ],
)
def test_another_signature_is_refused(signature: str) -> None:
    with pytest.raises(CallbackRejected):
        read(EXAMPLE, **{"telnyx-signature-ed25519": signature})


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(json.loads(EXAMPLE.body)).encode(),
        EXAMPLE.body + b"\n",
        EXAMPLE.body.replace(b"0123", b"0124"),
        b"",
    ],
)
def test_another_body_is_refused(body: bytes) -> None:
    with pytest.raises(CallbackRejected):
        read(Report(body, EXAMPLE.headers))


def test_another_time_than_the_signed_one_is_refused() -> None:
    with pytest.raises(CallbackRejected):
        read(EXAMPLE, **{"telnyx-timestamp": str(SENT + 1)})


@pytest.mark.parametrize(
    ("level", "validated", "attestation"),
    [
        ("A", True, Attestation.FULL),
        ("a", True, Attestation.FULL),
        ("b", True, Attestation.PARTIAL),
        ("C", True, Attestation.GATEWAY),
        ("A", False, Attestation.NONE),
        ("A", "true", Attestation.NONE),
        ("A", None, Attestation.NONE),
        ("A", 1, Attestation.NONE),
        ("AA", True, Attestation.NONE),
        ("", True, Attestation.NONE),
        (None, True, Attestation.NONE),
        (["A"], True, Attestation.NONE),
        ("Z", True, Attestation.NONE),
    ],
)
def test_a_level_counts_only_with_true_beside_it(
    level: Any, validated: Any, attestation: Attestation
) -> None:
    found = call(shaken_stir_attestation=level, shaken_stir_validated=validated)
    assert found.attestation is attestation


@pytest.mark.parametrize(
    ("level", "validated", "attestation"),
    [
        ("A", "true", Attestation.FULL),
        ("b", "true", Attestation.PARTIAL),
        ("A", "True", Attestation.NONE),
        ("A", "false", Attestation.NONE),
        ("A", "", Attestation.NONE),
        ("A", "1", Attestation.NONE),
        ("", "true", Attestation.NONE),
    ],
)
def test_a_level_of_a_form_counts_only_with_the_word_true(
    level: str, validated: str, attestation: Attestation
) -> None:
    found = read_form(telnyx_form(SENT, ShakenStirAttestation=level, ShakenStirValidated=validated))
    assert found.attestation is attestation


def test_a_level_without_validation_is_none() -> None:
    data = event()["data"]
    del data["payload"]["shaken_stir_validated"]
    found, _ = read(telnyx(json.dumps({"data": data}).encode(), JSON, SENT))
    assert found.attestation is Attestation.NONE
    body = EXAMPLE_FORM.body.replace(b"&ShakenStirValidated=true", b"")
    assert read_form(telnyx(body, FORM, SENT)).attestation is Attestation.NONE


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2025-12-31T23:59:50.123456Z", datetime(2025, 12, 31, 23, 59, 50, tzinfo=UTC)),
        ("2026-01-01T02:59:50+03:00", datetime(2025, 12, 31, 23, 59, 50, tzinfo=UTC)),
        (None, CALL.at),
    ],
)
def test_the_call_was_made_when_the_event_says(text: Any, at: datetime) -> None:
    found, _ = read(with_data(occurred_at=text))
    assert found.at == at


@pytest.mark.parametrize(
    "text",
    [
        *("2025-12-31T23:59:50", "2025-13-31T23:59:50Z", "9999-12-31T23:59:59-23:59"),
        *("0001-01-01T00:00:00+14:00", "yesterday", "", 1767225590),
        *("9999-12-31T23:59:59Z", "2026-01-01T00:05:01Z"),
    ],
)
def test_an_event_whose_time_cannot_be_read_proves_nothing(text: Any) -> None:
    assert read(with_data(occurred_at=text))[0] == OtherMessage(Kind.CALL, Outcome.MALFORMED)


@pytest.mark.parametrize(
    ("headers", "diverted"),
    [
        ([{"name": "Diversion", "value": "<sip:+1@x>"}], True),
        ([{"name": "diversion", "value": ""}], True),
        ([{"name": "History-Info", "value": "<sip:a@x>;index=1, <sip:b@x>;index=1.1"}], True),
        ([{"name": "History-Info", "value": "<a>;index=1"}, {"name": "history-info", "value": "<b>"}], True),
        ([{"name": "History-Info", "value": "<a>;index=1"}], False),
        ([{"name": "User-to-User", "value": "x"}, {}], False),
        ([{"name": "User-to-User", "value": "x"}, "x"], True),
        ([{"name": "Diversion ", "value": "x"}], True),
        ({"Diversion": "<sip:+1@x>"}, True),
        ("Diversion", True),
        (None, False),
    ],
)
def test_a_sip_header_of_a_forwarded_call_is_seen(headers: Any, diverted: bool) -> None:
    assert call(sip_headers=headers).diverted is diverted
    assert call(custom_headers=headers).diverted is diverted


@pytest.mark.parametrize(
    ("changed", "diverted"),
    [
        ({"ForwardedFrom": "+12025550199"}, True),
        ({"SipHeader_Diversion": "x"}, True),
        ({"ForwardedFrom": ""}, False),
    ],
)
def test_a_parameter_of_a_forwarded_call_is_seen(changed: dict[str, str], diverted: bool) -> None:
    assert read_form(telnyx_form(SENT, **changed)).diverted is diverted


@pytest.mark.parametrize(
    "report",
    [
        with_data(event_type="call.hangup"),
        with_data(event_type="call.answered"),
        with_data(event_type=None),
        with_data(event_type=["call.initiated"]),
        telnyx_event(SENT, direction="outgoing"),
        telnyx_event(SENT, direction=None),
    ],
)
def test_another_event_is_ignored(report: Report) -> None:
    assert read(report) == (OTHER, None)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"data":null}',
        b'{"data":[]}',
        b'{"data":{}}',
        b'{"data":{"payload":[]}}',
        EXAMPLE.body.replace(b'"to":', b'"from":"+12025550199","to":'),
        EXAMPLE.body.replace(b'{"data"', b'{"data":{},"data"'),
        EXAMPLE.body.replace(b'"s1"', b"1"),
        EXAMPLE.body.replace(b'"s1"', b'""'),
        EXAMPLE.body.replace(b'"s1"', b'"\\ud800"'),
        EXAMPLE.body.replace(b'"+12025550123"', b"12025550123"),
        EXAMPLE.body.replace(b'"+12025550142"', b"null"),
    ],
)
def test_an_authentic_event_that_cannot_be_read_is_acknowledged(body: bytes) -> None:
    assert read(telnyx(body, JSON, SENT))[0] == MALFORMED


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"1", b"{", b'{"data":NaN}', b"\xff", b'{"a":"\xff"}', b"[" * 60_000, EXAMPLE_FORM.body],
)
def test_a_body_that_is_no_object_is_malformed(body: bytes) -> None:
    with pytest.raises(CallbackMalformed):
        read(telnyx(body, JSON, SENT))


CALLERS = [
    *("sip:+12025550123@x", "anonymous", "", "+266696687", "+7378742833", "+7378742883", "<null>"),
    *("+12025550123;ext=1", "%2B12025550123", "+" + "1" * 300, "+１２０２５５５０１２３", "+1202\0"),
]


@pytest.mark.parametrize("caller", CALLERS)
def test_a_caller_that_is_no_number_is_unmatched_and_still_refused(caller: str) -> None:
    assert read(telnyx_event(SENT, **{"from": caller})) == (UNMATCHED, PARKED)


@pytest.mark.parametrize("changed", [{"to": "sip:a@x"}, {"calling_party_type": "sip"}, {"to": "12345"}])
def test_a_call_that_came_another_way_is_unmatched(changed: dict[str, str]) -> None:
    assert call(**changed) == UNMATCHED
    assert call(calling_party_type="pstn") == CALL


@pytest.mark.parametrize("caller", [each for each in CALLERS if "\0" not in each])
def test_a_form_whose_caller_is_no_number_is_unmatched(caller: str) -> None:
    assert read_form(telnyx_form(SENT, From=caller)) == UNMATCHED


@pytest.mark.parametrize("changed", [{"CallStatus": "completed"}, {"Direction": "outbound"}])
def test_another_form_is_ignored(changed: dict[str, str]) -> None:
    assert read_form(telnyx_form(SENT, **changed)) == OTHER


@pytest.mark.parametrize(
    "body",
    [
        b"",
        EXAMPLE.body,
        EXAMPLE_FORM.body + b"&From=%2B12025550123",
        EXAMPLE_FORM.body.replace(b"CallSid=v3%3Ax&", b""),
        EXAMPLE_FORM.body.replace(b"v3%3Ax", b""),
        EXAMPLE_FORM.body.replace(b"&From=", b"&from="),
        EXAMPLE_FORM.body.replace(b"&To=", b"&to="),
        EXAMPLE_FORM.body.replace(b"CallStatus", b"callstatus"),
        EXAMPLE_FORM.body + b"&a=%00",
        EXAMPLE_FORM.body + b"&a=%FF",
        EXAMPLE_FORM.body + b"&a=" * 200,
    ],
)
def test_a_form_with_repeated_or_missing_parameters_is_malformed(body: bytes) -> None:
    with pytest.raises(CallbackMalformed):
        read_form(telnyx(body, FORM, SENT))


@pytest.mark.parametrize("event", ["message.received", "call.initiated", "call.hangup"])
def test_an_event_that_is_sent_again_as_a_form_is_malformed(event: str) -> None:
    """Telnyx signs no content type, and a stranger may choose a text in an event."""
    text = f"&{EXAMPLE_FORM.body.decode()}&z="
    body = json.dumps({"data": {"event_type": event, "payload": {"text": text}}}).encode()
    with pytest.raises(CallbackMalformed):
        read_form(telnyx(body, FORM, SENT))
