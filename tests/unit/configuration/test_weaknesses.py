"""At its start the service warns of each weakness in the policy. The shipped policy has none."""

from pathlib import Path

import pytest

from tests.unit.conftest import POLICY
from waitcall.configuration.policy import read_policy
from waitcall.configuration.settings import load_settings
from waitcall.configuration.weaknesses import policy_weaknesses, weaknesses
from waitcall.domain.channel import Assurance, Channel

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = (ROOT / "config/policy.toml").read_text()
CODES = """
dial_regions = ["RU"]
[purposes.login]
channels = ["call", "code"]
regions = ["RU"]
[clients.web]
purposes = ["login"]
[limits]
ip = ["20/h"]
global = ["1000/h"]
"""


def told(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    return list(policy_weaknesses(read_policy(str(path))))


def test_the_shipped_policy_has_no_weakness(tmp_path: Path) -> None:
    assert told(tmp_path, SHIPPED) == []
    assert not any(each.sends_codes for each in read_policy(str(tmp_path / "policy.toml")).purposes.values())


def test_the_commented_lines_for_codes_in_the_shipped_policy_are_safe(tmp_path: Path) -> None:
    """With the lines that are commented out there is no warning, and codes go to Russian numbers only."""
    with_codes = (
        SHIPPED.replace('channels = ["call"]\n', "")
        .replace('# channels = ["call", "code"]', 'channels = ["call", "code"]')
        .replace('# regions = ["RU"]', 'regions = ["RU"]')
        .replace('# second_step = "code"', 'second_step = "code"')
    )

    assert told(tmp_path, with_codes) == []
    purposes = read_policy(str(tmp_path / "policy.toml")).purposes
    assert purposes["login"].channels == (Channel.CALL, Channel.CODE)
    assert {each.regions for each in purposes.values()} == {frozenset({"RU"})}


def test_the_policy_of_the_examples_has_no_weakness(tmp_path: Path) -> None:
    text = (ROOT / "examples/policy.toml").read_text().replace("LOGIN", "http://127.0.0.1:8085")
    assert told(tmp_path, text) == []


def test_a_limit_that_is_left_out_is_no_weakness(tmp_path: Path) -> None:
    calls = 'dial_regions = ["RU"]\n[purposes.login]\n[clients.web]\npurposes = ["login"]\n'
    assert told(tmp_path, CODES) == []
    assert told(tmp_path, calls) == []


@pytest.mark.parametrize(
    ("was", "becomes", "named"),
    [
        ('regions = ["RU"]\n[clients', "[clients", "purposes.login sends codes and names no regions"),
        ('ip = ["20/h"]', "", "limits.ip or limits.network"),
        ('ip = ["20/h"]', 'ip = ["20/h record_only"]', "limits.ip or limits.network"),
        ('ip = ["20/h"]', 'ip = ["20/h record_only"]', "limits.ip only records 20/h"),
        ('global = ["1000/h"]', "", "limits.country, limits.global or limits.code_global"),
        ('global = ["1000/h"]', "global = []", "limits.country, limits.global or limits.code_global"),
        ("[limits]", "[limits]\nnumber = []", "limits.number is switched off"),
        ("[limits]", "[limits]\nfailed_checks = []", "limits.failed_checks"),
        ("[limits]", "[limits]\ncode_number = []", "limits.code_number"),
        ("[limits]", '[limits]\ncountry = ["9/h record_only"]', "limits.country only records 9/h"),
        (
            "[limits]",
            '[clients.web.limits]\nread = ["9/s record_only"]\n[limits]',
            "clients.web.limits.read only records 9/s",
        ),
        (
            "[limits]",
            '[clients.web.webhooks.in]\nurl = "http://login.svc/x"\nallow_private = true\n[limits]',
            "webhook web/in goes over http://",
        ),
        ('channels = ["call", "code"]\nregions = ["RU"]', 'second_step = "code"', "names no regions"),
    ],
)
def test_each_weakness_of_a_policy_is_named(tmp_path: Path, was: str, becomes: str, named: str) -> None:
    assert was in CODES
    assert [each for each in told(tmp_path, CODES.replace(was, becomes)) if named in each] != []


@pytest.mark.parametrize(
    ("purposes", "warned"),
    [
        ("[purposes.password_reset]", True),
        ('[purposes.password_reset]\nmin_assurance = "asserted"', True),
        ('[purposes.password_reset]\nmin_assurance = "network"', False),
        ('[purposes.password_reset]\nmin_assurance = "roundtrip"', False),
        ('[purposes.signup]\nmin_assurance = "asserted"', False),
    ],
)
def test_a_loose_password_reset_is_a_weakness(
    sound: dict[str, str], policy_path: Path, purposes: str, warned: bool
) -> None:
    policy_path.write_text(POLICY + purposes)

    assert any("password_reset" in each for each in weaknesses(load_settings(sound))) is warned


def test_the_inbox_proves_asserted_unless_a_setting_says_more_which_is_a_weakness(
    sound: dict[str, str],
) -> None:
    assert load_settings(sound).inbox_assurance is Assurance.ASSERTED
    for value in ("asserted", "ASSERTED"):
        assert list(weaknesses(load_settings(sound | {"WAITCALL_INBOX_ASSURANCE": value}))) == []
    settings = load_settings(sound | {"WAITCALL_INBOX_ASSURANCE": "network"})
    assert settings.inbox_assurance is Assurance.NETWORK
    (named,) = weaknesses(settings)
    assert "WAITCALL_INBOX_ASSURANCE=network" in named
    assert "waitcall doctor" in named


def test_a_forgeable_hash_is_a_weakness(sound: dict[str, str]) -> None:
    assert list(weaknesses(load_settings(sound))) == []
    (named,) = weaknesses(load_settings(sound | {"WAITCALL_CALLBACK_HASH": "crc32"}))
    assert "crc32 is forgeable" in named
