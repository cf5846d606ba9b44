"""Test a cancel."""

from tests.integration.api.conftest import PATH
from tests.integration.conftest import Running


def test_cancel_frees_the_number_and_is_idempotent(running: Running) -> None:
    path = f"{PATH}/{running.create().get_json()['id']}"

    assert running.delete(path).get_json()["reason"] == "by_client"
    assert running.delete(path).status_code == 200
    assert running.create(reference="other").status_code == 201
