"""Test log lines and counters of requests, which hold no number."""

import io
import logging

import pytest

from tests.integration.api.conftest import PATH
from tests.integration.conftest import Running


def test_every_refusal_of_a_known_client_is_counted(running: Running) -> None:
    running.get("/nowhere")
    running.get(PATH)
    running.create(surprise=1)
    running.get(f"{PATH}/ver_1", "not a key")
    metrics = running.metrics()

    for code in ("not_found", "method_not_allowed", "validation_failed"):
        assert metrics[f'waitcall_refusals_total{{client="web",code="{code}"}}'] == 1
    assert not [name for name in metrics if "unauthenticated" in name]


def test_each_request_logs_one_line_with_its_events_and_a_masked_number(running: Running, caplog) -> None:
    with caplog.at_level(logging.INFO):
        made = running.create().get_json()
        running.call()
        running.get(f"{PATH}/{made['id']}")
        running.post(f"{PATH}/{made['id']}/consume", {"purpose": "login", "reference": "flow"})

    lines = [record.__dict__ for record in caplog.records if record.name.startswith("waitcall")]
    assert [line["message"] for line in lines] == ["request"] * 4
    told = [[(each["event"], each["status"]) for each in line.get("events", [])] for line in lines]
    assert told == [[("started", "pending")], [("verified", "verified")], [], [("finished", "consumed")]]
    assert {each["phone_number"] for line in lines for each in line.get("events", [])} == {"+79*******67"}


@pytest.mark.parametrize(
    ("body", "logged"),
    [
        ({"waitcall": "1", "phone": "79991234567", "ts": "1", "sha1": "0" * 40}, "call bad_signature"),
        ({"waitcall": "1", "phone": "+7999", "ts": "1"}, "call malformed"),
        ({"a": "b"}, "unknown bad_signature"),
    ],
)
def test_the_log_line_of_a_callback_has_its_kind_and_outcome(
    running: Running, caplog, body: dict[str, str], logged: str
) -> None:
    with caplog.at_level(logging.INFO, "waitcall.access"):
        running.create()
        running.call()
        running.call()
        running.callback.test_client().get("/callbacks/smsc")
        running.callback.test_client().post("/callbacks/smsc", data=body)

    told = [record.__dict__.get("callbacks") for record in caplog.records]
    assert told == [None, ["call confirmed"], ["call repeated"], None, [logged]]


def test_no_line_of_the_log_and_no_metric_holds_the_number(starting) -> None:
    """The log level is debug, and there are successes and failures of every kind."""
    running = starting(WAITCALL_LOG_LEVEL="debug")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    from waitcall.adapters.telemetry.logging import MaskingJsonFormatter  # noqa: PLC0415

    handler.setFormatter(MaskingJsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        running.simulator.faults.load([{"kind": "error", "value": 3}], None)
        running.create()
        made = running.create().get_json()
        running.get(f"{PATH}/+79991234567")
        running.get("/+79991234567?phone=79991234567")
        running.create(phone_number="+7 999 123-45-6x")
        running.call()
        running.call()
        running.callback.test_client().get("/callbacks/smsc?waitcall=1&phone=79991234567&ts=1&sha1=0")
        running.post(f"{PATH}/{made['id']}/consume", {"purpose": "login", "reference": "flow"})
        headers = {"X-Request-ID": "79991234567"}
        running.ops.test_client().get("/livez", headers=headers)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()

    text = stream.getvalue()
    assert len(text.splitlines()) > 10
    assert "9991234567" not in text
    assert made["id"] not in text
    assert "9991234567" not in running.ops.test_client().get("/metrics").text


def test_each_step_is_counted(running: Running) -> None:
    made = running.create().get_json()
    running.clock.advance(12)
    running.call()
    running.call()
    running.call(phone="79991234500")
    running.post(f"{PATH}/{made['id']}/consume", {"purpose": "login", "reference": "flow"})
    running.post(f"{PATH}/{made['id']}/consume", {"purpose": "login", "reference": "flow"})
    running.callback.test_client().post("/callbacks/smsc", data=b"{")
    metrics = running.metrics()

    whose = 'client="web",purpose="login",region="RU"'
    for name, count in {
        f"waitcall_verifications_started_total{{{whose}}}": 1,
        f"waitcall_verifications_verified_total{{{whose}}}": 1,
        f'waitcall_verifications_finished_total{{{whose[:-12]},region="RU",reason="call_matched",status="consumed"}}': 1,
        'waitcall_time_to_call_seconds_sum{purpose="login",region="RU"}': 12,
        'waitcall_callbacks_total{kind="call",outcome="confirmed"}': 1,
        'waitcall_callbacks_total{kind="call",outcome="repeated"}': 1,
        'waitcall_callbacks_total{kind="call",outcome="unmatched"}': 1,
        'waitcall_callbacks_total{kind="unknown",outcome="malformed"}': 1,
        "waitcall_callback_lag_seconds_count": 2,
        'waitcall_provider_requests_total{operation="wait_call",outcome="ok"}': 1,
        'waitcall_provider_request_duration_seconds_count{operation="wait_call"}': 1,
        'waitcall_refusals_total{client="web",code="already_consumed"}': 1,
        'waitcall_http_requests_total{method="POST",route="/v1/verifications",status="201"}': 1,
    }.items():
        found = {_parts(each): value for each, value in metrics.items()}
        assert found.get(_parts(name)) == count, name


def _parts(name: str) -> tuple:
    head, _, labels = name.rstrip("}").partition("{")
    return head, frozenset(filter(None, labels.split(",")))
