"""The commands waitcall keys."""

import hashlib
import re

import pytest
from click.testing import CliRunner

from waitcall.cli import main
from waitcall.configuration.settings import SETTINGS


def test_a_new_key_and_its_hash_belong_together() -> None:
    told = CliRunner().invoke(main, ["keys", "new", "web"])
    key = re.search(r"key:\s+(\S+)", told.output)
    pair = re.search(r"WAITCALL_API_KEYS:\s+(\S+)", told.output)

    assert told.exit_code == 0
    assert key is not None
    assert pair is not None
    assert SETTINGS["API_KEYS"].reads.deserialize(pair[1]) == {
        hashlib.sha256(key[1].encode()).hexdigest(): "web"
    }
    assert len(key[1]) > 40


def test_two_keys_differ() -> None:
    first, second = (CliRunner().invoke(main, ["keys", "new", "web"]).output for _ in range(2))
    assert first != second


@pytest.mark.parametrize("client", ["", "Web", "a=b", "a,b", "1a", "x" * 64])
def test_a_client_that_the_settings_could_not_name_is_refused(client: str) -> None:
    assert CliRunner().invoke(main, ["keys", "new", client]).exit_code == 2
