"""A secret is compared in constant time with every candidate, so the time does not tell which candidate was right."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from tests.making import NOW, NUMBER, pending
from tests.own_calls import SIP_SECRET, TWILIO_ACCOUNT, TWILIO_CALL, TWILIO_TOKEN, TWILIO_URL, sip, twilio
from waitcall.adapters.http.auth import ApiKeys
from waitcall.adapters.providers.sip.callback import SipCallbackDecoder
from waitcall.adapters.providers.smsc.callback import SmscCallbackDecoder
from waitcall.adapters.providers.smsru.callback import SmsruCallbackDecoder
from waitcall.adapters.providers.twilio.callback import TwilioCallbackDecoder
from waitcall.domain.channel import TextIn
from waitcall.domain.code import Code, CodeSeals
from waitcall.domain.hosted_page import PageSeals
from waitcall.domain.matching import InboundText, judge_text
from waitcall.domain.numbers import E164
from waitcall.domain.verification import Requester

PEPPERS = ("a-pepper-that-is-long-enough-for-it", "another-pepper-that-is-long-enough-too")
ID = f"ver_{'0' * 64}"
SECRETS = ("a-secret-of-sixteen", "another-secret-of-it")
OURS = E164("+79585550000")


def key() -> bool:
    known = {hashlib.sha256(each.encode()).hexdigest(): each for each in ("first", "second", "third")}
    return ApiKeys(known, {}).client_of("first") == "first"


def smsc_callback() -> bool:
    digest = hashlib.sha1(f"79991234567:1700000000:{SECRETS[0]}".encode()).hexdigest()
    fields = {"waitcall": "1", "phone": "79991234567", "ts": "1700000000", "sha1": digest}
    return bool(SmscCallbackDecoder("sha1", SECRETS).decode(b"", urlencode(fields).encode()))


def smsru_callback() -> bool:
    entry = "callcheck_status\n201737-542\n401\n1767268800"
    digest = hashlib.sha256((SECRETS[0] + entry).encode()).hexdigest()
    body = urlencode({"data[0]": entry, "hash": digest}).encode()
    return bool(SmsruCallbackDecoder(SECRETS).decode(body))


def twilio_callback() -> bool:
    decoder = TwilioCallbackDecoder(TWILIO_ACCOUNT, [TWILIO_TOKEN, "f" * 32], TWILIO_URL, lambda: NOW)
    report = twilio(TWILIO_CALL)
    return bool(decoder.decode(b"", report.body, report.headers["X-Twilio-Signature"]))


def sip_callback() -> bool:
    report = sip(int(NOW.timestamp()))
    decoder = SipCallbackDecoder([SIP_SECRET, "s" * 32], lambda: NOW)
    return bool(decoder.decode(report.body, report.headers["X-Waitcall-Signature"]))


def code() -> bool:
    seals = CodeSeals(*PEPPERS)
    sent = Code((seals.seal(ID, "111111"), seals.seal(ID, "222222")), NOW, 1)
    return sent.matches(seals.seals(ID, "111111"))


def page_token() -> bool:
    pages = PageSeals(*PEPPERS)
    return pages.opens(pages.token(ID), ID)


def page_result() -> bool:
    pages = PageSeals(*PEPPERS)
    return pages.proves(pages.result(ID), ID)


def text() -> bool:
    asked = replace(pending(ID), text_in=TextIn(OURS, "ABC 123"))
    return judge_text(asked, InboundText(NUMBER.value, OURS.value, "abc123"), NOW)[0].value == "confirmed"


def reference() -> bool:
    Requester("web", "login", "flow").check("login", "flow")
    return True


@pytest.mark.parametrize(
    ("accepts", "comparisons"),
    [
        (key, 3),
        (smsc_callback, 2),
        (smsru_callback, 4),
        (twilio_callback, 4),  # two spellings of the URL
        (sip_callback, 2),
        (code, 4),
        (page_token, 2),
        (page_result, 2),
        (text, 1),
        (reference, 2),
    ],
)
def test_the_right_secret_is_compared_with_every_candidate(
    monkeypatch: pytest.MonkeyPatch, accepts: Callable[[], bool], comparisons: int
) -> None:
    compared: list[bool] = []
    compare = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append(compare(one, other))
        return compared[-1]

    monkeypatch.setattr(hmac, "compare_digest", counted)

    assert accepts()
    assert len(compared) == comparisons
