"""Batches that sms.ru sends to the callback handler (docs/providers/smsru.md)."""

from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import urlencode

import pytest

from waitcall.adapters.providers.smsru.callback import MOST_ENTRIES, SmsruCallbackDecoder
from waitcall.domain.channel import ProviderOrder
from waitcall.domain.errors import CallbackMalformed, CallbackRejected
from waitcall.domain.matching import Kind, OrderReport, OrderStatus, OtherMessage
from waitcall.domain.matching import Outcome as Became

API_ID, OTHER_API_ID = "api-id-of-the-tests-1", "api-id-of-the-tests-2"
ENTRY = "callcheck_status\n201737-542\n401\n1767268800"
REPORT = OrderReport(
    ProviderOrder("smsru", "201737-542"), OrderStatus.CALLED, datetime(2026, 1, 1, 12, tzinfo=UTC)
)
Pairs = list[tuple[str, str]]
BOUNDARY = "a-boundary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def signed(*entries: str, api_id: str = API_ID, name: str = "data[{}]") -> Pairs:
    digest = sha256((api_id + "".join(entries)).encode()).hexdigest()
    return [(name.format(at), each) for at, each in enumerate(entries)] + [("hash", digest)]


def multipart(fields: Pairs, end: str = "\r\n") -> bytes:
    parts = [
        f'--{BOUNDARY}{end}Content-Disposition: form-data; name="{name}"{end}{end}{value}{end}'
        for name, value in fields
    ]
    return "".join([*parts, f"--{BOUNDARY}--{end}"]).encode()


def read(decoder: SmsruCallbackDecoder, fields: Pairs) -> list[object]:
    """Decode the fields as a urlencoded and as a multipart form, and check that both give the same."""
    written = [(urlencode(fields).encode(), ""), (multipart(fields), MULTIPART)]
    try:
        first, second = (decoder.decode(*each) for each in written)
    except (CallbackMalformed, CallbackRejected) as error:
        for each in written:
            with pytest.raises(type(error)):
                decoder.decode(*each)
        raise
    assert first == second
    return first


@pytest.fixture
def decoder() -> SmsruCallbackDecoder:
    return SmsruCallbackDecoder([API_ID, OTHER_API_ID])


@pytest.mark.parametrize("api_id", [API_ID, OTHER_API_ID])
@pytest.mark.parametrize("name", ["data[{}]", "data[]", "data"])
def test_a_batch_is_read_entry_by_entry(decoder: SmsruCallbackDecoder, api_id: str, name: str) -> None:
    fields = signed(ENTRY, "sms_status\n2026-1\n103\n1767268800", "test\n1", api_id=api_id, name=name)
    assert read(decoder, fields) == [REPORT, OtherMessage(Kind.STATUS), OtherMessage(Kind.UNKNOWN)]


def test_one_changed_character_is_refused(decoder: SmsruCallbackDecoder) -> None:
    sound = signed(ENTRY)
    assert read(decoder, sound) == [REPORT]
    forged = [
        [("data[0]", ENTRY.replace("542", "543")), sound[1]],
        [("data[0]", ENTRY.replace("401", "400")), sound[1]],
        [*sound, ("data[1]", ENTRY)],
        [sound[0], ("hash", sound[1][1][:-1] + ("0" if sound[1][1][-1] != "0" else "1"))],
        [sound[0]],
        [sound[0], ("hash", "")],
        [sound[0], sound[1], sound[1]],
        [("hash", sha256(b"").hexdigest())],
        signed(ENTRY, api_id="a-key-of-somebody-else"),
    ]
    for fields in forged:
        with pytest.raises(CallbackRejected):
            read(decoder, fields)


def test_the_order_of_entries_is_signed_too(decoder: SmsruCallbackDecoder) -> None:
    other = ENTRY.replace("542", "543")
    fields = signed(ENTRY, other)
    with pytest.raises(CallbackRejected):
        read(decoder, [("data[0]", other), ("data[1]", ENTRY), fields[2]])


def test_a_batch_that_is_split_elsewhere_proves_no_other_call(decoder: SmsruCallbackDecoder) -> None:
    """The hash covers no separators, so a captured batch can be split elsewhere. It must not prove another call then."""
    joined = ENTRY.replace("401", "400") + ENTRY.replace("542", "777")
    known = {"201737-542", "201737-777"}
    digest = signed(joined)[-1]
    for cut in range(len(joined)):
        parts = [("data[0]", joined[:cut]), ("data[1]", joined[cut:]), digest]
        try:
            found = read(decoder, parts)
        except CallbackMalformed:
            continue
        reports = [each for each in found if isinstance(each, OrderReport)]
        called = [each for each in reports if each.status is OrderStatus.CALLED]
        assert {each.order.id for each in called} <= {"201737-777"}
        assert {each.order.id for each in reports} <= known


@pytest.mark.parametrize(
    "entry",
    [
        "callcheck_status",
        "callcheck_status\n1",
        "callcheck_status\n1\n401",
        "callcheck_status\n1\n401\n",
        "callcheck_status\n\n401\n1767268800",
        "callcheck_status\n1\n401\nnow",
        "callcheck_status\na/b\n401\n1",
        "callcheck_status\n1\n401\n17672688000",
    ],
)
def test_an_authentic_batch_with_one_unreadable_entry_is_malformed(
    decoder: SmsruCallbackDecoder, entry: str
) -> None:
    with pytest.raises(CallbackMalformed):
        read(decoder, signed(entry))


def test_a_bad_entry_among_good_ones_does_not_refuse_them(decoder: SmsruCallbackDecoder) -> None:
    """If the batch were refused, the provider would send all of it again for days."""
    bad = OtherMessage(Kind.CALL, Became.MALFORMED)
    fields = signed("callcheck_status\n1\n401\nnow", ENTRY, "callcheck_status")
    assert read(decoder, fields) == [bad, REPORT, bad]
    assert read(decoder, signed("sms_status\n1", "callcheck_status")) == [OtherMessage(Kind.STATUS), bad]


@pytest.mark.parametrize("signed_with", ["\n", "\r\n"])
@pytest.mark.parametrize("sent_with", ["\n", "\r\n"])
@pytest.mark.parametrize("between_parts", ["\n", "\r\n"])
def test_either_line_end_authenticates(
    decoder: SmsruCallbackDecoder, signed_with: str, sent_with: str, between_parts: str
) -> None:
    """Multipart forms are written with CRLF, and some senders turn each LF of a value into CRLF too."""
    entries = (ENTRY, "sms_status\n1")
    fields = signed(*(each.replace("\n", signed_with) for each in entries))
    sent = [(name, value.replace("\r\n", "\n").replace("\n", sent_with)) for name, value in fields]
    assert decoder.decode(multipart(sent, between_parts), MULTIPART) == [REPORT, OtherMessage(Kind.STATUS)]


@pytest.mark.parametrize(
    "body",
    [
        f"--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\nx\r\n--{BOUNDARY}--\r\n",
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; name\r\n\r\nx\r\n--{BOUNDARY}--\r\n",
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=\r\n\r\nx\r\n--{BOUNDARY}--\r\n",
    ],
)
def test_a_part_without_a_name_is_ignored(decoder: SmsruCallbackDecoder, body: str) -> None:
    with pytest.raises(CallbackRejected):
        decoder.decode(body.encode(), MULTIPART)
    with_it = body.encode()[: -len(f"--{BOUNDARY}--\r\n")] + multipart(signed(ENTRY))
    assert decoder.decode(with_it, MULTIPART) == [REPORT]


def test_an_unknown_status_of_a_call_is_acknowledged_and_ignored(decoder: SmsruCallbackDecoder) -> None:
    assert read(decoder, signed("callcheck_status\n1\n499\n1767268800")) == [OtherMessage(Kind.CALL)]


def test_a_batch_is_bounded(decoder: SmsruCallbackDecoder) -> None:
    assert len(read(decoder, signed(*[ENTRY] * MOST_ENTRIES))) == MOST_ENTRIES
    with pytest.raises(CallbackMalformed):
        read(decoder, signed(*[ENTRY] * (MOST_ENTRIES + 1)))


def test_a_decoder_needs_an_api_id() -> None:
    with pytest.raises(ValueError, match="api_id"):
        SmsruCallbackDecoder([])
