"""The packages of Twilio and Telnyx sign and accept the same requests as we do."""

import base64
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.own_calls import (
    FORM,
    JSON,
    TELNYX_KEY,
    TWILIO_ACCOUNT,
    TWILIO_CALL,
    TWILIO_TOKEN,
    TWILIO_URL,
    event,
    may_follow,
    public,
    telnyx,
    twilio,
)
from waitcall.adapters.providers.telnyx.callback import TelnyxCallbackDecoder
from waitcall.adapters.providers.twilio.callback import TwilioCallbackDecoder
from waitcall.domain.errors import CallbackRejected
from waitcall.domain.matching import InboundCall

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools/provider-clients"
SEED = bytes(range(32))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all((TOOLS / name).is_dir() for name in ("twilio", "telnyx", "nacl")),
        reason="not installed: make provider-clients, with the package index",
    ),
]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
FURTHER = st.dictionaries(TEXT.filter(bool), TEXT, max_size=10).filter(may_follow)
TWILIO = TwilioCallbackDecoder(TWILIO_ACCOUNT, [TWILIO_TOKEN], TWILIO_URL, lambda: datetime.now(UTC))
TELNYX = TelnyxCallbackDecoder([base64.b64decode(public(TELNYX_KEY))], lambda: datetime.now(UTC))
FEW = settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def ask(**asked: Any) -> Any:
    program = ROOT / "development/provider_clients/signatures.py"
    text = json.dumps({"twilio": [], "telnyx": []} | asked)
    done = subprocess.run(
        [sys.executable, program, TOOLS], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@FEW
@given(st.lists(FURTHER, min_size=20, max_size=20), st.booleans())
def test_twilio_signs_and_accepts_what_we_do(further: list[dict[str, str]], with_port: bool) -> None:
    """Twilio's servers sign the URL with the port or without it, and the package accepts both."""
    url = TWILIO_URL.replace("example.org", "example.org:443") if with_port else TWILIO_URL
    forms = [TWILIO_CALL | each for each in further]
    ours = [twilio(form, url=url).headers["X-Twilio-Signature"] for form in forms]
    broken = [base64.b64encode(bytes(20)).decode(), *ours[1:]]
    asked = [
        {"token": TWILIO_TOKEN, "url": TWILIO_URL, "fields": form, "signature": signature}
        for form, signature in zip(forms, broken, strict=True)
    ]

    told = ask(twilio=asked)["twilio"]

    assert [accepted for _, accepted in told] == [False] + [True] * 19
    for form, (signature, _) in zip(forms, told, strict=True):
        assert isinstance(TWILIO.decode(b"", urlencode(form).encode(), signature), InboundCall)
        with pytest.raises(CallbackRejected):
            TWILIO.decode(b"", urlencode(form | {"From": "+12025550124"}).encode(), signature)


@settings(FEW, max_examples=1)
@given(st.lists(FURTHER, min_size=20, max_size=20))
def test_telnyx_signs_and_accepts_what_we_do(further: list[dict[str, str]]) -> None:
    now = int(time.time())
    bodies = [json.dumps(event() | {"more": each}, ensure_ascii=False) for each in further]
    ours = [telnyx(body.encode(), JSON, now).headers["telnyx-signature-ed25519"] for body in bodies]
    broken = [base64.b64encode(bytes(64)).decode(), *ours[1:]]
    asked = [
        {"seed": base64.b64encode(SEED).decode(), "timestamp": now, "body": body, "signature": signature}
        for body, signature in zip(bodies, broken, strict=True)
    ]

    told = ask(telnyx=asked)["telnyx"]

    assert [accepted for _, accepted in told] == [False] + [True] * 19
    for body, (signature, _) in zip(bodies, told, strict=True):
        found, parked = TELNYX.decode_event(body.encode(), signature, str(now))
        assert (isinstance(found, InboundCall), parked is not None) == (True, True)
        with pytest.raises(CallbackRejected):
            TELNYX.decode_event(body.encode() + b" ", signature, str(now))


def test_telnyx_accepts_our_signature_of_a_form() -> None:
    now = int(time.time())
    body = urlencode(
        {"CallSid": "v3:x", "CallStatus": "ringing", "From": "+12025550123", "To": "+12025550142"}
    )
    signature = telnyx(body.encode(), FORM, now).headers["telnyx-signature-ed25519"]
    asked = {"seed": base64.b64encode(SEED).decode(), "timestamp": now, "body": body, "signature": signature}
    assert ask(telnyx=[asked])["telnyx"] == [[signature, True]]
    assert isinstance(TELNYX.decode_form(body.encode(), signature, str(now)), InboundCall)
