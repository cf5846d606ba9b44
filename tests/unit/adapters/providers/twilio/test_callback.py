"""Twilio's webhooks: what is signed, what is refused, and what a call proves."""

import hmac
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.own_calls import (
    CALLER,
    DIALLED,
    OF_MESSAGES,
    OF_SIP,
    TWILIO_ACCOUNT,
    TWILIO_CALL,
    TWILIO_OTHER_TOKEN,
    TWILIO_TOKEN,
    TWILIO_URL,
    Report,
    may_follow,
    twilio,
)
from waitcall.adapters.providers.twilio.callback import TwilioCallbackDecoder
from waitcall.domain.channel import Attestation, Provider
from waitcall.domain.errors import CallbackMalformed, CallbackRejected
from waitcall.domain.matching import InboundCall, Kind, OtherMessage, Outcome

NOW = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
UNMATCHED = OtherMessage(Kind.CALL, Outcome.UNMATCHED)
CALL = InboundCall(
    cli=CALLER,
    at=NOW.replace(microsecond=0),
    dialled=DIALLED,
    provider=Provider.OWN,
    id=TWILIO_CALL["CallSid"],
    attestation=Attestation.FULL,
    is_dated=False,
)


def decoder(url: str = TWILIO_URL, *tokens: str) -> TwilioCallbackDecoder:
    return TwilioCallbackDecoder(TWILIO_ACCOUNT, tokens or [TWILIO_TOKEN], url, lambda: NOW)


def read(report: Report, **changed: Any) -> InboundCall | OtherMessage:
    given = {
        "query": b"",
        "body": report.body,
        "signature": report.headers["X-Twilio-Signature"],
    } | changed
    return decoder().decode(**given)


def call(**changed: str) -> InboundCall | OtherMessage:
    return read(twilio(TWILIO_CALL | changed))


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in TWILIO_CALL.items() if name not in names}


@pytest.mark.parametrize(
    ("signature", "fields"),
    [
        ("rKxmD05tpeI4S9fb++i3QJmacH8=", TWILIO_CALL),
        ("aCJ/TmJ2VWCrD/xBSTn6MzgBKhQ=", TWILIO_CALL),
        ("kL3GjxeiHffS8TueH0IkJhHqFUw=", without("StirVerstat")),
    ],
)
def test_the_documented_examples_are_accepted(signature: str, fields: dict[str, str]) -> None:
    """The second one is signed over the URL with its port."""
    found = read(twilio(fields), signature=signature)
    assert isinstance(found, InboundCall)
    assert found.is_vouched_for is ("StirVerstat" in fields)


@pytest.mark.parametrize(
    "signature",
    [
        "Mqpnrzi7JxLMnFQ9/8bIqwZJpP2pEU+145oHC4dYges=",
        "",
        "rKxmD05tpeI4S9fb++i3QJmacH8",
        "rKxmD05tpeI4S9fb++i3QJmacH8==",
        "rkxmd05tpei4s9fb++i3qjmach8=",
        "rKxmD05tpeI4S9fb--i3QJmacH8=",
        "rKxmD05tpeI4S9fb++i3QJmacH9=",
        "rKxmD05tpeI4S9fb++i3QJmacH8=, rKxmD05tpeI4S9fb++i3QJmacH8=",
        b64decode("rKxmD05tpeI4S9fb++i3QJmacH8=").hex(),
        "é",
        "\0",
    ],
)
def test_another_signature_is_refused(signature: str) -> None:
    """The first one is right, by SHA-256 and a shared key."""
    with pytest.raises(CallbackRejected):
        read(twilio(TWILIO_CALL), signature=signature)


def test_a_call_is_read() -> None:
    assert call() == CALL


@pytest.mark.parametrize(
    ("configured", "signed"),
    [
        ("https://v.example/callbacks/twilio", "https://v.example:443/callbacks/twilio"),
        ("https://v.example:443/callbacks/twilio", "https://v.example/callbacks/twilio"),
        ("https://v.example:8443/callbacks/twilio", "https://v.example/callbacks/twilio"),
        ("https://v.example:8443/callbacks/twilio", "https://v.example:8443/callbacks/twilio"),
        ("http://127.0.0.1/callbacks/twilio", "http://127.0.0.1:80/callbacks/twilio"),
        ("https://[2001:db8::1]:8443/c", "https://[2001:db8::1]/c"),
        ("https://v.example/c#rc=2&rp=5xx", "https://v.example/c#rc=2&rp=5xx"),
        ("https://v.example/c#rc=2&rp=5xx", "https://v.example:443/c"),
    ],
)
def test_the_url_may_be_signed_with_and_without_its_port(configured: str, signed: str) -> None:
    report = twilio(TWILIO_CALL, url=signed)
    assert decoder(configured).decode(b"", report.body, report.headers["X-Twilio-Signature"]) == CALL


@pytest.mark.parametrize(
    "signed",
    [
        "http://verify.example.org/callbacks/twilio",
        "https://verify.example.org:8443/callbacks/twilio",
        "https://verify.example.org:80/callbacks/twilio",
        "https://verify.example.org/callbacks/twilio/",
        "https://verify.example.org/callbacks/twilio?a=1",
        "https://evil.example/callbacks/twilio",
    ],
)
def test_another_url_is_refused(signed: str) -> None:
    with pytest.raises(CallbackRejected):
        read(twilio(TWILIO_CALL, url=signed))


def test_a_second_token_is_accepted_while_rotating() -> None:
    both = decoder(TWILIO_URL, TWILIO_TOKEN, TWILIO_OTHER_TOKEN)
    for token in (TWILIO_TOKEN, TWILIO_OTHER_TOKEN):
        report = twilio(TWILIO_CALL, token)
        assert both.decode(b"", report.body, report.headers["X-Twilio-Signature"]) == CALL
    with pytest.raises(CallbackRejected):
        read(twilio(TWILIO_CALL, TWILIO_OTHER_TOKEN))


def test_a_decoder_needs_a_token() -> None:
    with pytest.raises(ValueError, match="token"):
        TwilioCallbackDecoder(TWILIO_ACCOUNT, [], TWILIO_URL, lambda: NOW)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"From=%2B12025550123", b"From=%2B12025550124"),
        (b"StirVerstat=TN-Validation-Passed-A", b"StirVerstat=TN-Validation-Passed-B"),
        (b"StirVerstat=TN-Validation-Passed-A&", b""),
        (b"To=", b"More=1&To="),
        (b"", b"Blank=&"),
    ],
)
def test_a_changed_form_is_refused(old: bytes, new: bytes) -> None:
    report = twilio(TWILIO_CALL)
    with pytest.raises(CallbackRejected):
        read(report, body=report.body.replace(old, new, 1))


@pytest.mark.parametrize("query", [b"a=1", b"bodySHA256=e92c80dfbb588f8cf0a7845b1be0849c", b"="])
def test_a_query_is_refused(query: bytes) -> None:
    with pytest.raises(CallbackRejected):
        read(twilio(TWILIO_CALL), query=query)


def test_blank_unknown_and_foreign_parameters_are_signed_and_ignored() -> None:
    more = {
        "FromCity": "",
        "ToZip": "",
        "CallerName": "Ёж + %2B &=",
        "Diverse": "x",
        "New": "x",
        "Zone": "x",
        "CallToken": "a.b.c",
        "a": "",
    }
    assert call(**more) == CALL


@pytest.mark.parametrize("name", ["AccountSid", "CallSid", "CallStatus", "Direction", "From", "To"])
def test_a_missing_parameter_is_malformed(name: str) -> None:
    with pytest.raises(CallbackMalformed, match=name):
        read(twilio(without(name)))


@pytest.mark.parametrize("name", [*TWILIO_CALL])
@pytest.mark.parametrize("same", [True, False])
def test_a_repeated_parameter_is_malformed(name: str, same: bool) -> None:
    again = TWILIO_CALL[name] if same else "x"
    with pytest.raises(CallbackMalformed, match="twice"):
        read(twilio([*TWILIO_CALL.items(), (name, again)]))


@pytest.mark.parametrize(
    ("first", "second"), list(zip(sorted(TWILIO_CALL), sorted(TWILIO_CALL)[1:], strict=False))
)
def test_two_merged_parameters_are_malformed(first: str, second: str) -> None:
    """The signed text stays the same, so the signature is right."""
    merged = without(second) | {first: TWILIO_CALL[first] + second + TWILIO_CALL[second]}
    report, sound = twilio(merged), twilio(TWILIO_CALL)
    assert report.headers == sound.headers
    with pytest.raises(CallbackMalformed):
        read(report)


@pytest.mark.parametrize(
    ("fields", "merged"),
    [
        ({"ErrorUrl": "x", "ForwardedFrom": CALLER}, {"ErrorUrl": f"xForwardedFrom{CALLER}"}),
        ({"ForwardedFrom": CALLER}, {"ForwardedFro": f"m{CALLER}"}),
        ({"ForwardedFrom": CALLER}, {"Forwarded": f"From{CALLER}"}),
    ],
)
def test_a_hidden_sign_of_forwarding_still_counts(fields: dict[str, str], merged: dict[str, str]) -> None:
    report, sound = twilio(TWILIO_CALL | merged), twilio(TWILIO_CALL | fields)
    assert report.headers == sound.headers
    found = read(report)
    assert isinstance(found, InboundCall)
    assert found.diverted


@pytest.mark.parametrize(
    ("sent", "split"),
    [
        # The number that forwarded the call would become the caller.
        (
            {"ForwardedFrom": "+12025550199"},
            {"Forwarded": "", "From": "+12025550199", "From+1": "2025550123"},
        ),
        # The text of an add-on would become the id. It ends with a name that sorts before the next one.
        (
            {"AddOns": f"xCallSidCA{'9' * 32}CallSj"},
            {
                "AddOns": "x",
                "CallSid": f"CA{'9' * 32}",
                "CallSj": f"ApiVersion2010-04-01CallSid{TWILIO_CALL['CallSid']}",
            },
        ),
        ({"AddOns": "Directioninbound", "Direction": "outbound-api"}, {}),
    ],
)
def test_another_split_of_the_signed_text_changes_neither_caller_nor_id(
    sent: dict[str, str], split: dict[str, str]
) -> None:
    report = twilio(TWILIO_CALL | sent)
    dropped = {"ApiVersion"} if "AddOns" in split else set()
    forged = {name: value for name, value in (TWILIO_CALL | (split or sent)).items() if name not in dropped}
    if split:
        assert twilio(forged).headers == report.headers
    try:
        found = read(twilio(forged))
    except CallbackMalformed:
        return
    assert found == UNMATCHED


MESSAGE_IDS = dict.fromkeys(("MessageSid", "SmsMessageSid", "SmsSid"), f"SM{'1' * 32}")


@pytest.mark.parametrize(
    ("sender", "ids"),
    [
        *((sender, {}) for sender in ("+12125550199", "whatsapp:+12125550199", "messenger:1", "12345")),
        ("Shop", MESSAGE_IDS),
    ],
)
def test_the_text_of_a_message_never_becomes_a_call(sender: str, ids: dict[str, str]) -> None:
    account = {name: TWILIO_CALL[name] for name in ("AccountSid", "ApiVersion")}
    called = {
        name: TWILIO_CALL[name]
        for name in ("CallSid", "CallStatus", "Direction", "From", "StirVerstat", "To")
    }
    text = "".join(name + value for name, value in sorted(called.items()))
    message = account | {"Body": f"x{text}Z", "From": sender, "To": "whatsapp:+1202"} | ids
    rest = "".join(name + value for name, value in sorted(message.items()) if name > "Body")
    forged = account | {"Bodyx": ""} | called | {f"Z{rest}": ""}
    assert twilio(forged).headers == twilio(message).headers

    with pytest.raises(CallbackMalformed):
        read(twilio(forged))


@pytest.mark.parametrize("rest", ["?x=1", "-sms", "/status", "0"])
def test_the_rest_of_a_longer_url_is_no_parameter(rest: str) -> None:
    with pytest.raises(CallbackMalformed):
        read(twilio(TWILIO_CALL | {rest: ""}))


@pytest.mark.parametrize(
    "more",
    [
        {"FromCity": "ST. LOUIS", "FromCountry": "US", "FromState": "MO", "FromZip": "63101"},
        {"FromCity": "", "FromCountry": "", "FromState": "", "FromZip": "", "ToCity": ""},
        {"FromCity": "Saint-Étienne", "New": "x", "Timestamp": "Tue, 01 Dec 2026 10:00:00 +0000"},
        {"StirPassportToken": "a.b.c;info=<https://x.example/c.pem>;alg=ES256;ppt=shaken"},
        {"CallToken": "a.b.c", "CallerName": "Tom From Toronto"},
    ],
)
def test_the_level_counts_beside_any_other_parameters(more: dict[str, str]) -> None:
    found = call(**more)
    assert isinstance(found, InboundCall)
    assert found.attestation is Attestation.FULL


def test_a_level_that_stands_twice_in_the_signed_text_is_none() -> None:
    """A text of the caller before it could be split so that it becomes the level."""
    found = call(StirPassportToken="x.y.StirVerstat", StirVerstat="TN-Validation-Passed-A")
    assert isinstance(found, InboundCall)
    assert found.attestation is Attestation.NONE


@pytest.mark.parametrize(
    ("verstat", "attestation", "diverted"),
    [
        ("TN-Validation-Passed-A", Attestation.FULL, False),
        ("TN-Validation-Passed-B", Attestation.PARTIAL, False),
        ("TN-Validation-Passed-C", Attestation.GATEWAY, False),
        ("tn-validation-passed-a", Attestation.NONE, False),
        ("TN-Validation-Passed", Attestation.NONE, False),
        ("TN-Validation-Passed-A ", Attestation.NONE, False),
        ("TN-Validation-Passed-A-Diverted", Attestation.NONE, True),
        ("TN-Validation-Passed-A-Passthrough", Attestation.NONE, True),
        ("TN-Validation-Failed-A", Attestation.NONE, False),
        ("TN-Validation-Failed", Attestation.NONE, False),
        ("No-TN-Validation", Attestation.NONE, False),
        ("NULL", Attestation.NONE, False),
        ("", Attestation.NONE, False),
        ("something new", Attestation.NONE, False),
    ],
)
def test_only_the_exact_level_counts(verstat: str, attestation: Attestation, diverted: bool) -> None:
    found = call(StirVerstat=verstat)
    assert isinstance(found, InboundCall)
    assert (found.attestation, found.diverted) == (attestation, diverted)


def test_a_forwarded_call_is_diverted() -> None:
    found = call(ForwardedFrom="+12025550199")
    assert isinstance(found, InboundCall)
    assert (found.diverted, found.is_vouched_for) == (True, False)
    assert call(ForwardedFrom="") == CALL


@pytest.mark.parametrize("status", ["busy", "no-answer", "canceled"])
def test_the_report_on_the_end_is_a_second_chance_that_proves_less(status: str) -> None:
    found = call(CallStatus=status)
    assert isinstance(found, InboundCall)
    assert (found.id, found.attestation) == (CALL.id, Attestation.NONE)


@pytest.mark.parametrize(
    "changed",
    [
        {"AccountSid": "AC" + "0" * 32},
        {"Direction": "outbound-api"},
        {"Direction": "outbound-dial"},
        {"CallStatus": "completed"},
        {"CallStatus": "in-progress"},
        {"CallStatus": "queued"},
        {"From": "sip:+12025550123@x.sip.twilio.com"},
        {"From": "client:someone"},
        {"From": ""},
        {"From": "anonymous"},
        {"From": "Restricted"},
        {"From": "+266696687"},
        {"From": "+7378742833"},
        {"From": "+7378742883"},
        {"From": "464"},
        {"To": "sip:a@x.sip.twilio.com"},
        {"To": "12345"},
        {"From": "+1202555012;ext=1"},
        {"From": "+１２０２５５５０１２３"},
        {"From": "client:joe smith"},
        {"From": "Zoé"},
        {"From": "+" + "1" * 31},
        {"SipDomain": "x.sip.twilio.com"},
        {"SipCallId": "1@x"},
        {"SipHeader_X-A": "1"},
        {"SipHeader_X-A": "1StirVerstatTN-Validation-Passed-A", "StirVerstat": ""},
        *({"A": word} for word in OF_SIP),
    ],
)
def test_an_authentic_call_that_proves_nothing_is_unmatched(changed: dict[str, str]) -> None:
    assert call(**changed) == UNMATCHED


@pytest.mark.parametrize(
    "changed",
    [
        {"CallSid": "CA" + "0" * 31},
        {"CallSid": "ca0123456789abcdef0123456789abcdef"},
        {"CallSid": "CA0123456789ABCDEF0123456789ABCDEF"},
        {"AccountSid": ""},
        {"From": f"{CALLER}StirVerstatTN-Validation-Passed-A"},
        {"To": f"{DIALLED}ToCityX"},
        {"CallStatus": "Ringing"},
        {"Direction": "inboundForwardedFrom+12025550199"},
        {"CallerName": "a\0b"},
        *({"A": word} for word in OF_MESSAGES),
    ],
)
def test_a_value_that_is_not_of_its_form_is_malformed(changed: dict[str, str]) -> None:
    with pytest.raises(CallbackMalformed):
        call(**changed)


def test_bytes_that_are_no_utf_8_are_malformed() -> None:
    report = twilio(TWILIO_CALL)
    text = "".join(name + value for name, value in sorted(TWILIO_CALL.items()))
    signed = b64encode(
        hmac.digest(TWILIO_TOKEN.encode(), TWILIO_URL.encode() + text.encode() + b"a\xff", "sha1")
    )
    with pytest.raises(CallbackMalformed, match="UTF-8"):
        read(report, body=report.body + b"&a=%FF", signature=signed.decode())


def test_too_many_parameters_are_malformed() -> None:
    with pytest.raises(CallbackMalformed):
        call(**{f"p{number}": "1" for number in range(200)})


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(st.dictionaries(NAMES.filter(lambda name: name not in TWILIO_CALL), VALUES, max_size=8))
def test_any_further_parameters_are_part_of_the_signature(more: dict[str, str]) -> None:
    # Other tests have those that are refused.
    assume(may_follow(more))
    report = twilio(TWILIO_CALL | more)
    assert isinstance(read(report), InboundCall)
    if more:
        with pytest.raises(CallbackRejected):
            read(twilio(TWILIO_CALL), body=report.body)


LEVEL = "TN-Validation-Passed-A"
PIECES = st.sampled_from(
    [
        f"StirVerstat{LEVEL}",
        "From+12025550199",
        "To+12025550199",
        f"CallSidCA{'9' * 32}",
        "CallSj",
        "Directioninbound",
        "ForwardedFrom",
        "FromZip",
        "x",
    ]
)
TAMPERED = f"a.StirVerst.{'x' * 86}"
NASTY = st.tuples(
    st.sampled_from(["AddOns", "ErrorUrl", "ToReason"]), st.lists(PIECES, min_size=1, max_size=2).map("".join)
) | st.tuples(
    st.just("Reason"),
    st.lists(PIECES.filter(lambda piece: LEVEL not in piece), min_size=1, max_size=2).map("".join),
)
SENT = st.fixed_dictionaries(
    {name: st.just(value) for name, value in TWILIO_CALL.items() if name != "StirVerstat"},
    optional={
        "ForwardedFrom": st.sampled_from(["+12025550199", ""]),
        "FromCity": st.sampled_from(["", "ST. LOUIS"]),
        "StirVerstat": st.sampled_from(["TN-Validation-Passed-B", "TN-Validation-Failed-A", LEVEL]),
    },
)
RARE = st.sampled_from(
    [
        *[{}] * 4,
        {"CallStatus": "completed"},
        {"Direction": "outbound-api"},
        {"From": "anonymous"},
        {"From": ""},
        {"StirPassportToken": TAMPERED},
    ]
)
"""Parameters as Twilio sends them. The caller, or a parameter that Twilio adds one day, may choose the nasty ones."""

NAMES = (
    *TWILIO_CALL,
    "AddOns",
    "CallSj",
    "ErrorUrl",
    "Forwarded",
    "ForwardedFrom",
    "From+1",
    "FromCity",
    "FromZip",
    "Reason",
)
NAMES += ("StirPassportToken", "ToReason")


@st.composite
def splits(draw: st.DrawFn, text: str) -> dict[str, str]:
    """Split a text at names that stand in it. Most of them are used, and of several at one place the longest."""
    places: dict[int, list[str]] = {}
    for index in range(len(text)):
        here = [name for name in sorted(NAMES, key=len, reverse=True) if text.startswith(name, index)]
        if here:
            places[index] = [*here, ""]
    others = draw(st.dictionaries(st.sampled_from([*places]), st.integers(0, 2), max_size=4))
    parts: list[tuple[str, int]] = []
    for index, options in places.items():
        name = options[min(others.get(index, 0), len(options) - 1)]
        if not parts or (name > parts[-1][0] and index >= parts[-1][1]):
            parts.append((name or options[0], index + len(name or options[0])))
    ends = [start - len(name) for name, start in parts[1:]] + [len(text)]
    return {name: text[start:end] for (name, start), end in zip(parts, ends, strict=True)}


def understood(report: Report) -> InboundCall | None:
    try:
        found = read(report)
    except CallbackMalformed:
        return None
    return found if isinstance(found, InboundCall) else None


@settings(max_examples=500)
@given(SENT, RARE, NASTY, st.data())
def test_no_split_of_a_captured_text_changes_the_call_or_raises_its_level(
    plain: dict[str, str], rare: dict[str, str], nasty: tuple[str, str], data: st.DataObject
) -> None:
    sent = plain | rare | dict([nasty])
    forged = data.draw(splits("".join(name + value for name, value in sorted(sent.items()))))
    assert twilio(forged).headers == twilio(sent).headers

    honest, found = understood(twilio(sent)), understood(twilio(forged))

    if found is not None:
        assert (found.id, found.cli, found.dialled) == (sent["CallSid"], sent["From"], sent["To"])
        assert (sent["CallStatus"], sent["Direction"]) != ("completed", "outbound-api")
        assert sent.get("StirVerstat") == LEVEL or not found.is_vouched_for
        assert not sent.get("ForwardedFrom") or found.diverted
        assert honest is not None, "what proves nothing as it was sent proves nothing in another split"
