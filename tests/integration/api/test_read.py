"""Test reads and long polls."""

import threading

import pytest

from tests.integration.api.conftest import PATH, problem
from tests.integration.conftest import OTHER_KEY, Running


def test_another_clients_verification_is_not_found(running: Running) -> None:
    path = f"{PATH}/{running.create().get_json()['id']}"

    problem(running.get(path, OTHER_KEY), 404, "not_found")
    problem(running.delete(path, OTHER_KEY), 404, "not_found")
    problem(running.post(f"{path}/consume", {"purpose": "login"}, OTHER_KEY), 404, "not_found")


@pytest.mark.parametrize(
    "wait", ["", "x", "-1", "31", "1.5", "+5", " 5", "1e1", "٣", "100", "5&wait=6", "0x1"]
)
def test_wait_is_whole_seconds_up_to_thirty(running: Running, wait: str) -> None:
    path = f"{PATH}/{running.create().get_json()['id']}"

    problem(running.get(f"{path}?wait={wait}"), 422, "validation_failed")


def test_a_long_poll_sees_the_change(running: Running) -> None:
    path = f"{PATH}/{running.create().get_json()['id']}?wait=30"
    answers: list = []
    reader = threading.Thread(target=lambda: answers.append(running.get(path).get_json()["status"]))
    reader.start()
    running.call()
    reader.join(10)

    assert answers == ["verified"]
