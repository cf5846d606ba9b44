import io
import json
import logging
import logging.config
from collections.abc import Callable, Iterator

import pytest

from service.adapters.http.context import new_request_id
from service.adapters.telemetry.logging import MaskingJsonFormatter, logging_config, masked
from service.application.context import request_id

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def logged() -> Iterator[tuple[logging.Logger, Lines]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(MaskingJsonFormatter())
    logger = logging.Logger("test")  # noqa: LOG001  of this test alone
    logger.addHandler(handler)
    yield logger, lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    handler.close()


@pytest.mark.parametrize(
    "text",
    [
        "+79991234567", "79991234567", "%2B79991234567", "tel:+79991234567", "+7 999 123-45-67",
        "+7 (999) 123-45-67", "x79991234567x", "phone=79991234567&ts=1", "{'phone': '79991234567'}",
        "%2B7%20999%20123-45-67",
    ],
)  # fmt: skip
def test_a_number_is_masked_however_it_is_written(text: str) -> None:
    assert "1234567" not in masked(text).replace(" ", "").replace("-", "")
    assert "123-45" not in masked(text)
    assert "67" in masked(text)


@pytest.mark.parametrize("text", ["+7 999 123-45-67", "79991234567", "%2B7%20999%20123-45-67"])
def test_one_number_in_a_line_is_enough(logged: tuple[logging.Logger, Lines], text: str) -> None:
    logger, lines = logged
    logger.warning("call", extra={"nested": {"who": [f'"{text}"\n']}})

    assert "123" not in json.dumps(lines()[0]["nested"])


def test_a_number_is_masked_wherever_it_stands(logged: tuple[logging.Logger, Lines]) -> None:
    """In the message, its arguments, extra fields, nested values, and an exception's text."""
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


def test_a_line_says_when_how_bad_who_and_for_which_request(logged: tuple[logging.Logger, Lines]) -> None:
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
