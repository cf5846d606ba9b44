"""SMSC's callbacks in every form, charset and hash: a right message is accepted, each single alteration is refused.

The messages are written by hand after smsc-api.md section 2, not by the simulator.
"""

import gc
import hashlib
import json
import tracemalloc
import zlib
from datetime import UTC, datetime
from itertools import product
from urllib.parse import parse_qsl, quote_from_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from waitcall.adapters.providers.callback_form import MOST_FIELDS, FormUnreadable
from waitcall.adapters.providers.smsc.callback import SmscCallbackDecoder, read_fields
from waitcall.domain.code import CodeDelivery, DeliveryReport
from waitcall.domain.errors import CallbackMalformed, CallbackRejected
from waitcall.domain.matching import InboundCall, InboundText, Kind, OtherMessage

SECRET = "s3cr3t-key_1"
PREVIOUS = "an-older-secret_0"
CODECS = {"windows-1251": "cp1251", "utf-8": "utf-8", "koi8-r": "koi8-r"}
FORMS = ("form", "xml", "json", "query", "multipart")
MULTIPART = "multipart/form-data; boundary=a-boundary"
HASHES = ("md5", "sha1", "crc32")
CALL = {"waitcall": "1", "phone": "79991234567", "ts": "1700000000"}
SMS = {"phone": "79991234567", "mes": "Привет", "to": "79037676765"}
STATUS = {"id": "1001", "phone": "79991234567", "status": "1", "err": "0"}
COVERED = {"call": ("phone", "ts"), "sms": ("phone", "mes", "to"), "status": ("id", "phone", "status")}
MESSAGES = {"call": CALL, "sms": SMS, "status": STATUS}
ALL = list(product(FORMS, CODECS, HASHES, MESSAGES))


def decoder(hash_name: str = "sha1") -> SmscCallbackDecoder:
    return SmscCallbackDecoder(hash_name, [SECRET, PREVIOUS])


def digest(hash_name: str, kind: str, fields: dict[str, str], codec: str, secret: str = SECRET) -> str:
    text = ":".join([*(fields[name] for name in COVERED[kind]), secret]).encode(codec)
    return str(zlib.crc32(text)) if hash_name == "crc32" else hashlib.new(hash_name, text).hexdigest()


def written(form: str, charset: str, fields: dict[str, str]) -> tuple[bytes, bytes]:
    """Write a message. Return its query string and its body."""
    codec = CODECS[charset]
    if form == "json":
        return f"charset={charset}".encode(), json.dumps(fields, ensure_ascii=False).encode(codec)
    if form == "xml":
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
        return b"", f'<?xml version="1.0" encoding="{charset}"?><any>{inner}</any>'.encode(codec)
    if form == "multipart":
        parts = "".join(
            f'--a-boundary\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        return b"", f"{parts}--a-boundary--\r\n".encode(codec)
    encoded = "&".join(f"{name}={quote_from_bytes(value.encode(codec))}" for name, value in fields.items())
    return (encoded.encode(), b"") if form == "query" else (b"", encoded.encode())


def decoded(form: str, fields: dict[str, str], charset: str = "utf-8", hash_name: str = "sha1") -> object:
    content_type = MULTIPART if form == "multipart" else ""
    return decoder(hash_name).decode(*written(form, charset, fields), content_type)


def signed(kind: str, charset: str, hash_name: str, secret: str = SECRET) -> dict[str, str]:
    fields = MESSAGES[kind] | {"charset": charset}
    return fields | {hash_name: digest(hash_name, kind, fields, CODECS[charset], secret)}


def expected(kind: str) -> object:
    if kind == "call":
        return InboundCall("+79991234567", datetime.fromtimestamp(1700000000, UTC))
    if kind == "sms":
        return InboundText("+79991234567", "+79037676765", "Привет")
    return DeliveryReport(1001, "+79991234567", CodeDelivery.DELIVERED)


@pytest.mark.parametrize(("form", "charset", "hash_name", "kind"), ALL)
def test_the_right_message_is_accepted(form: str, charset: str, hash_name: str, kind: str) -> None:
    for secret in (SECRET, PREVIOUS):
        assert expected(kind) == decoded(form, signed(kind, charset, hash_name, secret), charset, hash_name)


@pytest.mark.parametrize(("form", "charset", "hash_name", "kind"), ALL)
def test_each_single_alteration_is_refused(form: str, charset: str, hash_name: str, kind: str) -> None:
    right = signed(kind, charset, hash_name)
    last = {"0": "1"}.get(right[hash_name][-1], "0")
    alterations = [right | {name: right[name] + "7" for name in (covered,)} for covered in COVERED[kind]] + [
        right | {hash_name: right[hash_name][:-1] + last},
        right | {hash_name: ""},
        right | {hash_name: digest(hash_name, kind, right, CODECS[charset], "x" * 16)},
        {name: value for name, value in right.items() if name != hash_name},
    ]
    for altered in alterations:
        with pytest.raises((CallbackRejected, CallbackMalformed)):
            decoded(form, altered, charset, hash_name)


@pytest.mark.parametrize("other", HASHES)
def test_only_the_configured_hash_counts(other: str) -> None:
    for configured in HASHES:
        if configured != other:
            with pytest.raises(CallbackRejected):
                decoder(configured).decode(*written("form", "utf-8", signed("call", "utf-8", other)))


def test_other_hashes_beside_the_configured_one_are_ignored() -> None:
    fields = signed("call", "utf-8", "sha1") | {"md5": "0" * 32, "crc32": "1"}

    assert decoder("sha1").decode(*written("form", "utf-8", fields)) == expected("call")


@pytest.mark.parametrize(
    ("text", "md5", "sha1", "crc32"),
    [
        (
            "waitcall=1&phone=79991234567&ts=1700000000",
            ["80564b66b9a7a7666ce2347bdad2b0fc", "80564B66B9A7A7666CE2347BDAD2B0FC"],
            ["77fe425eba83b6a75773eaf51a7c38d756c39cf8"],
            ["1863509878", "6f12e776", "6F12E776"],
        ),
        (
            "id=1001&phone=79991234567&status=1",
            ["b1e3b622f6074f948e29e7e675ae44b4"],
            ["b8d96910660dc688787a79a5e942a59313118f3b"],
            ["299169395", "11d4f673"],
        ),
        (
            "phone=79991234567&mes=Hello&to=79037676765",
            ["bb4b1153e80fd09355f45bec644fd4b2"],
            ["6a3ef090522fb0821fc3950e9175eaa25b587fb6"],
            ["2559591840", "-1735375456", "989045a0"],
        ),
        (
            "charset=utf-8&phone=79991234567&mes=%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82&to=79037676765",
            ["4af525c69f0ceb5447abd14795c9b1bd"],
            ["618c4b3b6cb304189da40646dad6ea0999b5e9b9"],
            ["325976332", "136e010c"],
        ),
        (
            "phone=79991234567&mes=%CF%F0%E8%E2%E5%F2&to=79037676765",
            ["c0567809743a082721f68b47c2988094"],
            ["dc3430d9c131c0db1ba3de5dfd4cc4106052ea90"],
            ["188861293", "0b41cb6d"],
        ),
    ],
)
def test_the_vectors_of_the_providers_page_are_accepted(
    text: str, md5: list[str], sha1: list[str], crc32: list[str]
) -> None:
    """The vectors are in smsc-api.md section 2. A message that names no charset is in windows-1251."""
    for name, spellings in (("md5", md5), ("sha1", sha1), ("crc32", crc32)):
        for spelling in spellings:
            assert decoder(name).decode(b"", f"{text}&{name}={spelling}".encode()) is not None


def test_an_sms_whose_digest_equals_a_calls_does_not_verify() -> None:
    """The text phone:mes:to:secret equals phone:ts:secret if ts is mes:to. A ts with a colon is refused."""
    sms = {"phone": "79991234567", "mes": "1700000000", "to": "79037676765"}
    digest_of_sms = digest("sha1", "sms", sms, "utf-8")
    forged = {"waitcall": "1", "phone": "79991234567", "ts": "1700000000:79037676765", "sha1": digest_of_sms}
    assert digest_of_sms == digest("sha1", "call", forged, "utf-8")

    for form in FORMS:
        with pytest.raises(CallbackMalformed):
            decoded(form, forged)
        as_sms = sms | {"waitcall": "1", "ts": "1700000000", "sha1": digest_of_sms}
        assert decoded(form, as_sms) == InboundText("+79991234567", "+79037676765", "1700000000")


def test_a_status_whose_digest_equals_a_calls_does_not_verify() -> None:
    status = {"id": "79991234567", "phone": "1700000000", "status": "1"}
    digest_of_status = digest("sha1", "status", status, "utf-8")
    forged = {"waitcall": "1", "phone": "79991234567", "ts": "1700000000:1", "sha1": digest_of_status}

    with pytest.raises(CallbackMalformed):
        decoder().decode(*written("form", "utf-8", forged))


@pytest.mark.parametrize(
    ("phone", "ts"),
    [
        ("+79991234567", "1700000000"), ("", "1700000000"), ("7999123456789012", "1700000000"),
        ("79991234567", ""), ("79991234567", "-1"), ("79991234567", "1.7e9"), ("79991234567", "17000000000"),
        ("79991234567", " 1700000000"), ("7999123456٧", "1700000000"), ("79991234567", "1700000000\n"),
        ("79991234567", "0x10"), ("anonymous", "1700000000"),
    ],
)  # fmt: skip
def test_a_malformed_call_is_refused_even_when_it_is_signed(phone: str, ts: str) -> None:
    fields = {"waitcall": "1", "phone": phone, "ts": ts, "charset": "utf-8"}
    fields |= {"sha1": digest("sha1", "call", fields, "utf-8")}
    for form in ("form", "json", "query", "multipart"):
        with pytest.raises(CallbackMalformed) as refused:
            decoded(form, fields)
        assert refused.value.kind == "call"


def test_a_call_without_its_fields_is_malformed() -> None:
    with pytest.raises(CallbackMalformed):
        decoder().decode(b"", b"waitcall=1&sha1=00")


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (b"", b"waitcall=1&phone=1&phone=2&ts=1&sha1=x"),
        (b"", b"waitcall=1&phone=1&phone=1&ts=1&sha1=x"),
        (b"phone=1", b"waitcall=1&phone=2&ts=1&sha1=x"),
        (b"", b'{"phone": "1", "phone": "2"}'),
        (b"phone=1", b'{"phone": "2"}'),
        (b"", b"<a><phone>1</phone><phone>2</phone></a>"),
        (b"", b"{"),
        (b"", b'{"a": ' + b"[" * 50000 + b"}"),
        (b"", b"<a><b></a>"),
        (b"", b"<a>" * 100),
        (b"", b'<!DOCTYPE a [<!ENTITY e "x">]><a><phone>&e;</phone></a>'),
        (b"", b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a><phone>1</phone></a>'),
        (b"", b"<a><phone>&undefined;</phone></a>"),
        (b"charset=utf-16", b"waitcall=1&phone=1&ts=1"),
        (b"charset=utf-8", b'{"mes": "\xff"}'),
        (b"", b"&".join(b"f%d=1" % index for index in range(300))),
        (b"", b"<a>" + b"<b/>" * 500 + b"</a>"),
        (b"", b"{" + b",".join(b'"f%d":1' % index for index in range(900)) + b"}"),
        (b"", b'{"a":[' + b"{}," * 300 + b"1]}"),
        (b"", b"a=" + b"%" * 1000),
    ],
)
def test_an_unreadable_callback_is_malformed(query: bytes, body: bytes) -> None:
    with pytest.raises(CallbackMalformed):
        decoder().decode(query, body)


@pytest.mark.parametrize(
    "body",
    [
        b"<a>" + b" " * 65000 + b"</a>", b" " * 65000 + b"<a/>", b"<?xml " + b" " * 65000, b"<?xml encoding=" * 4000,
        b"\n" * 65000 + b"<?xml version='1.0'?><a/>",
    ],
)  # fmt: skip
def test_spaces_cost_no_more_than_other_bytes(body: bytes) -> None:
    """A regular expression once took minutes for them. test_linear_time.py counts how the cost grows."""
    with pytest.raises((CallbackMalformed, CallbackRejected)):
        decoder().decode(b"", body)


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("before", ["", " \r\n", "\ufeff"])
def test_the_charset_of_an_xml_declaration_counts(quote: str, before: str) -> None:
    fields = signed("sms", "koi8-r", "sha1")
    del fields["charset"]
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    declaration = (
        f"<?xml version={quote}1.0{quote}  encoding = {quote}KOI8-R{quote} standalone={quote}yes{quote} ?>"
    )
    start = b"\xef\xbb\xbf" if before == "\ufeff" else before.encode()

    assert decoder().decode(
        b"", start + f"{declaration}<!-- x --><any>{inner}</any>".encode("koi8-r")
    ) == expected("sms")


@pytest.mark.parametrize(
    "body",
    [
        b"<a><b>" + b"x" * 65000 + b"</c></a>",
        b"<a></b>" + b"x" * 65000,
        b"{" * 65000,
        b'{"a":"' + b"x" * 65000,
    ],
)
def test_an_unreadable_callback_leaves_nothing_in_memory(body: bytes) -> None:
    """Garbage in cycles is collected seldom, so a flood could fill the memory before that."""
    gc.disable()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(20):
            with pytest.raises(CallbackMalformed):
                decoder().decode(b"", body)
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()
    assert left < 20 * 20_000


def test_only_children_that_hold_text_alone_are_fields() -> None:
    fields = signed("call", "utf-8", "sha1")
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    more = "text<deep><phone>1</phone>2</deep><empty/><x:ns xmlns:x='u' a='b'>1</x:ns><![CDATA[<phone>]]>"

    assert decoder().decode(b"", f"<any xmlns='u'>{more}{inner}</any>".encode()) == expected("call")


def test_a_multipart_form_needs_its_boundary() -> None:
    body = written("multipart", "utf-8", signed("call", "utf-8", "sha1"))[1]
    for content_type in (
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\xe9",
    ):
        with pytest.raises(CallbackMalformed):
            decoder().decode(b"", body, content_type)
    with pytest.raises(CallbackRejected):
        decoder().decode(b"", body, "multipart/mixed; boundary=a-boundary")


def test_an_authentic_text_that_is_not_in_its_charset_is_malformed() -> None:
    text = b"79991234567:\xff\xfe:79037676765:" + SECRET.encode()
    body = b"charset=utf-8&phone=79991234567&mes=%FF%FE&to=79037676765&sha1="
    with pytest.raises(CallbackMalformed):
        decoder().decode(b"", body + hashlib.sha1(text).hexdigest().encode())


@pytest.mark.parametrize("body", [b"", b"anything", b"a=b", b"[]", b"\x00\xff", b'""', b"charset=utf-8"])
def test_a_message_of_no_known_kind_is_refused(body: bytes) -> None:
    with pytest.raises(CallbackRejected) as refused:
        decoder().decode(b"", body)
    assert refused.value.kind == "unknown"


def test_the_registered_parameters_may_stand_in_query_and_body() -> None:
    """Equal values are no conflict: the provider repeats the parameters of the registered URL as fields."""
    query, body = b"charset=utf-8&token=a", written("form", "utf-8", signed("call", "utf-8", "sha1"))[1]

    assert decoder().decode(query, body + b"&token=a") == expected("call")


def test_fields_may_travel_in_both_places_and_unknown_ones_are_ignored() -> None:
    fields = signed("call", "utf-8", "sha1")
    query = f"phone={fields.pop('phone')}&ts={fields.pop('ts')}".encode()
    for form in ("form", "xml", "json"):
        _, body = written(form, "utf-8", fields | {"extra": "x"})
        assert decoder().decode(query, body) == expected("call")


def test_json_numbers_are_hashed_as_they_were_written() -> None:
    fields = signed("call", "utf-8", "sha1")
    body = f'{{"waitcall": 1, "phone": 79991234567, "ts": 1700000000, "extra": [{{}}], "sha1": "{fields["sha1"]}"}}'

    assert decoder().decode(b"charset=utf-8", body.encode()) == expected("call")


def test_json_escapes_and_xml_references_are_what_they_stand_for() -> None:
    for charset in CODECS:
        fields = signed("sms", charset, "sha1")
        escaped = json.dumps(fields).encode()
        assert decoder().decode(b"", escaped) == expected("sms")
        references = "".join(f"&#{ord(letter)};" for letter in SMS["mes"])
        inner = "".join(
            f"<{name}>{references if name == 'mes' else value}</{name}>" for name, value in fields.items()
        )
        assert decoder().decode(b"", f"<a>{inner}</a>".encode()) == expected("sms")


@pytest.mark.parametrize("body_codec", ["utf-8", "cp1251"])
@pytest.mark.parametrize("hash_codec", ["utf-8", "cp1251"])
def test_a_document_that_names_no_charset_is_read(body_codec: str, hash_codec: str) -> None:
    """И is D0 98 in UTF-8, and windows-1251 has no character 98. The charset of the hash is not documented."""
    fields = {"phone": "79991234567", "mes": "И снова привет", "to": "79037676765"}
    fields |= {"sha1": digest("sha1", "sms", fields, hash_codec)}
    as_xml = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())

    for text in (json.dumps(fields, ensure_ascii=False), f"<a>{as_xml}</a>"):
        read = decoder().decode(b"", text.encode(body_codec))
        assert read == InboundText("+79991234567", "+79037676765", "И снова привет")


# smsc-api.md, section 9.
ERRORS = {
    "1": "no_subscriber", "6": "not_in_network", "11": "no_sms_service", "12": "handset", "13": "blocked",
    "21": "unsupported", "200": "undeliverable", "219": "undeliverable", "247": "daily_limit", "248": "no_route",
    "249": "wrong_number", "250": "barred", "251": "number_limit", "252": "barred", "253": "spam_filter",
    "254": "sender_not_registered", "255": "rejected_by_operator",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", MESSAGES)
def test_further_fields_of_the_provider_are_ignored(form: str, kind: str) -> None:
    """A call with a voice menu adds fields whose names are not documented; a status has further documented ones."""
    documented = {"time": "01.01.2026 12:00:00", "cnt": "1", "cost": "3.50", "type": "7", "flag": "40", "sender": "Пример",
                  "imsi": "25001", "msc": "7", "mcc": "250", "mnc": "01", "cn": "RU", "net": "x", "rcn": "", "rnet": ""}  # fmt: skip
    menu = {
        "menu": "1",
        "digits": "12#",
        "url": "https://x.example/?a=b&amp;c",
        "": "nothing",
        "record[]": "1.mp3",
    }
    extras = documented | (menu if form != "xml" else {"menu": "1", "digits": "12#"})
    fields = signed(kind, "utf-8", "sha1")
    assert decoded(form, extras | fields) == expected(kind)


def test_a_decoder_needs_a_secret() -> None:
    with pytest.raises(ValueError, match="secret"):
        SmscCallbackDecoder("sha1", [])


@pytest.mark.parametrize(
    ("status", "err", "said"),
    [
        ("1", "0", (CodeDelivery.DELIVERED, None)),
        ("2", None, (CodeDelivery.DELIVERED, None)),
        ("0", None, (CodeDelivery.QUEUED, None)),
        ("-1", "0", (CodeDelivery.QUEUED, None)),
        ("20", "6", (CodeDelivery.FAILED, "not_in_network")),
        ("20", "999", (CodeDelivery.FAILED, "undeliverable")),
        ("4", "0", (CodeDelivery.DELIVERED, None)),
        ("24", "0", (CodeDelivery.QUEUED, None)),
        ("-2", "0", (CodeDelivery.FAILED, "stopped")),
        ("3", None, (CodeDelivery.FAILED, "expired")),
        ("22", "0", (CodeDelivery.FAILED, "wrong_number")),
        ("23", "0", (CodeDelivery.FAILED, "forbidden")),
        ("25", "0", (CodeDelivery.FAILED, "unreachable")),
        *[("20", err, (CodeDelivery.FAILED, reason)) for err, reason in ERRORS.items()],
    ],
)
def test_a_report_says_where_a_message_stands(
    status: str, err: str | None, said: tuple[CodeDelivery, str | None]
) -> None:
    fields = {"id": "1001", "phone": "79991234567", "status": status} | ({"err": err} if err else {})
    fields["sha1"] = digest("sha1", "status", fields, "utf-8")

    assert decoder().decode(*written("form", "utf-8", fields)) == DeliveryReport(1001, "+79991234567", *said)


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "1001", "phone": "79991234567", "status": "77"},
        {"id": "x", "phone": "79991234567", "status": "1"},
        {"id": "1001", "phone": "somebody", "status": "1"},
    ],
)
def test_an_authentic_report_with_unknown_values_is_accepted_and_ignored(fields: dict[str, str]) -> None:
    right = fields | {"sha1": digest("sha1", "status", fields, "utf-8")}

    assert decoder().decode(*written("form", "utf-8", right)) == OtherMessage(Kind.STATUS)


def test_a_text_from_a_name_or_to_a_short_code_verifies_nobody() -> None:
    for fields in (SMS | {"phone": "BANK"}, SMS | {"to": "+7903"}):
        right = fields | {"charset": "utf-8", "sha1": digest("sha1", "sms", fields, "utf-8")}
        assert decoder().decode(*written("form", "utf-8", right)) == OtherMessage(Kind.SMS)


@pytest.mark.parametrize("charset", list(CODECS))
@pytest.mark.parametrize(
    "words", ["[waitcall] hello", " [WAITCALL]", "?[waitcall]", "\xa0 [WaitCall] привет", "- [ wait-call ]"]
)
def test_a_text_that_looks_like_a_call_in_the_inbox_is_marked(charset: str, words: str) -> None:
    codec = CODECS[charset]
    words = words.encode(codec, "replace").decode(codec)
    fields = SMS | {"mes": words, "charset": charset}
    right = fields | {"sha1": digest("sha1", "sms", fields, charset)}
    read = decoder().decode(*written("form", charset, right))
    assert read == InboundText("+79991234567", "+79037676765", words, like_call=True)


@pytest.mark.parametrize(
    ("changes", "to"),
    [({"to": "BANK"}, ""), ({"to": ""}, ""), ({"phone": "+79991234567", "to": "+7903"}, "+7903")],
)
def test_a_text_that_looks_like_a_call_is_marked_for_any_recipient(changes: dict[str, str], to: str) -> None:
    fields = SMS | {"mes": "[waitcall]"} | changes
    right = fields | {"charset": "utf-8", "sha1": digest("sha1", "sms", fields, "utf-8")}
    read = decoder().decode(*written("form", "utf-8", right))
    assert read == InboundText("+79991234567", to, "[waitcall]", like_call=True)


def test_a_text_that_looks_like_a_call_and_is_cut_inside_a_character_is_marked() -> None:
    """If it were refused as malformed, it would leave no trace, and its record in the inbox would pass for a call."""
    words = "[waitcall] я".encode()[:-1]
    signed_part = b"79991234567:" + words + b":79037676765:" + SECRET.encode()
    body = b"charset=utf-8&phone=79991234567&to=79037676765&mes=" + quote_from_bytes(words).encode()
    read = decoder().decode(b"", body + b"&sha1=" + hashlib.sha1(signed_part).hexdigest().encode())
    assert isinstance(read, InboundText)
    assert (read.cli, read.like_call) == ("+79991234567", True)


@pytest.mark.parametrize("words", ["Привет", "wait for my call", "[wait] 7WC4 call"])
def test_an_ordinary_text_does_not_look_like_a_call(words: str) -> None:
    fields = SMS | {"mes": words}
    right = fields | {"charset": "utf-8", "sha1": digest("sha1", "sms", fields, "utf-8")}
    read = decoder().decode(*written("form", "utf-8", right))
    assert isinstance(read, InboundText)
    assert not read.like_call


@given(some.text(alphabet="ab=&+% 1\xe9;", max_size=40))
@example("waitcall=1&phone=79991234567&ts=1700000000")
@example("a==b&&c&=&d=")
@example("&".join("a" * MOST_FIELDS))
def test_a_form_in_which_nothing_is_escaped_is_read_as_the_library_reads_it(text: str) -> None:
    query = text.encode("latin-1")
    pairs = parse_qsl(text, keep_blank_values=True, encoding="latin-1")
    if len({name for name, _ in pairs}) < len(pairs):
        with pytest.raises(FormUnreadable):
            read_fields(query, b"")
        return

    assert read_fields(query, b"").raw == {name: value.encode("latin-1") for name, value in pairs}


@pytest.mark.parametrize("written", ["f{}=1", "f{}=%31"])
def test_the_number_of_fields_is_limited(written: str) -> None:
    fields = [written.format(index) for index in range(MOST_FIELDS + 1)]

    assert len(read_fields("&".join(fields[1:]).encode(), b"").raw) == MOST_FIELDS
    with pytest.raises(FormUnreadable):
        read_fields("&".join(fields).encode(), b"")
