import io
import json
import logging
import logging.config
import re
import threading
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from waitcall.adapters.http.app import new_request_id
from waitcall.adapters.telemetry.logging import MaskingJsonFormatter, logging_config, masked
from waitcall.application.request_context import request_id

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def logged() -> Iterator[tuple[logging.Logger, Lines]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(MaskingJsonFormatter())
    logger = logging.Logger("test")  # noqa: LOG001  a logger of this test alone, outside the tree
    logger.addHandler(handler)

    def lines() -> list[dict[str, object]]:
        assert stream.getvalue().isascii()
        return [json.loads(line, parse_constant=pytest.fail) for line in stream.getvalue().splitlines()]

    yield logger, lines
    handler.close()


@pytest.mark.parametrize(
    "text",
    [
        "+79991234567", "79991234567", "%2B79991234567", "tel:+79991234567", "+7 999 123-45-67",
        "+7 (999) 123-45-67", "x79991234567x", "phone=79991234567&ts=1", "{'phone': '79991234567'}",
        "%2B7%20999%20123-45-67", "+7\u00a0999\u00a0123-45-67", "+7\u2011999\u2011123\u201145\u201167", "+7\t999\t123\t45\t67",
        "\u202d+7\u202c 999 123-45-67", "＋７９９９１２３４５67", "+7 999/123/45/67", "(+7) 999 123.45.67", "+(7) 999 123.45.67",
        "+7\u00ad999\u200b123\u206045 67",
    ],
)  # fmt: skip
def test_a_number_is_masked_however_it_is_written(text: str) -> None:
    assert "1234567" not in "".join(filter(str.isalnum, masked(text)))
    assert "123" not in masked(text)
    assert "67" in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "+7 999 123-45-67",
        "79991234567",
        "%2B7%20999%20123-45-67",
        "+7\u00a0999\u2011123 45 67",
        "+7\t999\t123\t45",
    ],
)
def test_a_number_in_a_nested_value_is_masked(logged: tuple[logging.Logger, Lines], text: str) -> None:
    logger, lines = logged
    logger.warning("call", extra={"nested": {"who": [f'"{text}"\n']}})

    assert "123" not in json.dumps(lines()[0]["nested"])


ID = "ver_" + "0a1b2c3d" * 8
TOKEN = "0a1b2c3d" * 7
RESULT = "0a1b2c3d" * 4


@pytest.mark.parametrize(
    "text",
    [
        ID, f"/v1/verifications/{ID}/consume", f"x{ID}y", repr({"id": ID}), f"ID={ID.upper()}", f"https://x/p/{TOKEN}/status",
        f"GET /p/{TOKEN} HTTP/1.1", TOKEN, f"https://app.example/done?a=1&result={RESULT}", repr({"result": RESULT}),
        f'"result": "{RESULT}"', f"result: {RESULT}",
    ],
)  # fmt: skip
def test_ids_tokens_and_results_are_masked_in_every_line(
    logged: tuple[logging.Logger, Lines], text: str
) -> None:
    logger, lines = logged
    logger.warning("a line of %s", text, extra={"more": [text], text: 1})
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("failed")

    told = json.dumps(lines()).lower()
    assert "0a1b2c3d0a1b2c3d" not in told
    assert "1b2c3d" in told


def test_long_values_are_cut(logged: tuple[logging.Logger, Lines]) -> None:
    logger, lines = logged
    logger.warning("%s", "x" * 500_000, extra={"more": ["y" * 500_000], "short": "z"})
    (line,) = lines()
    assert (line["message"], line["more"], line["short"]) == ("x" * 8000, ["y" * 8000], "z")


def test_a_trace_id_is_not_masked(logged: tuple[logging.Logger, Lines]) -> None:
    logger, lines = logged
    logger.warning("x", extra={"trace_id": RESULT})
    assert lines()[0]["trace_id"] == RESULT


def test_a_number_is_masked_in_every_part_of_a_line(logged: tuple[logging.Logger, Lines]) -> None:
    """Numbers are masked in the message, its arguments, extra fields, nested values and the text of an exception."""
    logger, lines = logged
    number = "+79991234567"
    logger.warning("call from %s", number, extra={"a": number, "b": [number, {number: int(number)}]})
    try:
        raise ValueError(number)
    except ValueError:
        logger.exception("failed")

    assert "9991234567" not in json.dumps(lines())
    assert len(lines()) == 2
    assert "ValueError" in str(lines()[1]["exception"])


def test_a_line_cannot_be_forged_by_a_newline(logged: tuple[logging.Logger, Lines]) -> None:
    logger, lines = logged
    logger.warning('x\n{"level": "INFO", "message": "forged"}')

    assert len(lines()) == 1


def test_a_line_has_its_time_level_logger_and_request_id(logged: tuple[logging.Logger, Lines]) -> None:
    logger, lines = logged
    token = request_id.set("abc")
    logger.error("broken", extra={"status": 503})
    request_id.reset(token)

    line = lines()[0]
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "test", "broken")
    assert (line["request_id"], line["status"]) == ("abc", 503)
    assert str(line["time"]).startswith("20")


def test_our_request_ids_survive_the_mask() -> None:
    for _ in range(100):
        assert masked(made := new_request_id()) == made


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_every_level_makes_a_sound_configuration(level: str) -> None:
    logging.config.DictConfigurator(logging_config(level))


@pytest.mark.parametrize(
    "value",
    ["Я", "\u202eabc", "\x9b31m", 2**70, {1: "a"}, {"Я"}, float("inf"), b"bytes", ValueError("x"), "\ud800"],
)
def test_a_line_with_any_value_is_ascii_and_json(logged: tuple[logging.Logger, Lines], value: object) -> None:
    logger, lines = logged
    logger.info("odd", extra={"value": value, "other": 1})

    (line,) = lines()
    assert (line["message"], line["other"]) == ("odd", 1)
    assert "value" in line
    assert json.dumps(line).isascii()


def test_other_alphabets_are_escaped(logged: tuple[logging.Logger, Lines]) -> None:
    logger, lines = logged
    logger.info("Я \u202e %s", "+79991234567")

    assert lines()[0]["message"] == "Я \u202e ***67"


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_float_that_json_lacks_is_written_as_text(
    logged: tuple[logging.Logger, Lines], value: float
) -> None:
    logger, lines = logged
    logger.info("odd", extra={"value": value})
    assert lines()[0]["value"] == str(value)


def test_numbers_beside_a_masked_one_stay_numbers(logged: tuple[logging.Logger, Lines]) -> None:
    logger, lines = logged
    logger.info(
        "x",
        extra={
            "status": 200,
            "seconds": 1.5,
            "sure": True,
            "nobody": None,
            "long": 79991234567,
            "real": 79991234567.0,
        },
    )
    (line,) = lines()
    assert [line[name] for name in ("status", "seconds", "sure", "nobody", "long", "real")] == [
        200,
        1.5,
        True,
        None,
        "***67",
        "***67.0",
    ]


def test_a_message_may_be_a_mapping(logged: tuple[logging.Logger, Lines]) -> None:
    logger, lines = logged
    logger.info({"who": "+79991234567"})
    assert lines()[0]["who"] == "***67"


class Slow(io.StringIO):
    """Stream that lets another thread run in the middle of each write, as a full pipe may do."""

    def write(self, text: str) -> int:
        half = len(text) // 2
        super().write(text[:half])
        threading.Event().wait(0.001)
        super().write(text[half:])
        return len(text)


def test_lines_of_two_threads_are_never_torn() -> None:
    stream = Slow()
    configured = logging.config.DictConfigurator(logging_config("info"))
    formatters, handlers = configured.config["formatters"], configured.config["handlers"]
    formatters["json"] = configured.configure_formatter(formatters["json"])
    handler = configured.configure_handler({**handlers["stderr"], "stream": stream})
    logger = logging.Logger("test")  # noqa: LOG001  a logger of this test alone, outside the tree
    logger.addHandler(handler)

    def write(name: str) -> None:
        for number in range(20):
            logger.info("%s %d", name, number)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    told = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert sorted(told) == sorted(f"{name} {number}" for name in ("one", "two") for number in range(20))


@pytest.mark.parametrize("seconds", [0.0, 1.0, 1795647710.0, 1795647710.000001, 1795647710.999999])
def test_the_time_is_written_in_utc_with_six_digits(
    logged: tuple[logging.Logger, Lines], monkeypatch, seconds: float
) -> None:
    logger, lines = logged
    record = logging.LogRecord("x", logging.INFO, "", 0, "then", (), None)
    record.created = seconds
    logger.handle(record)

    written = str(lines()[0]["time"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", written)
    assert abs(datetime.fromisoformat(written).timestamp() - seconds) < 2e-6
