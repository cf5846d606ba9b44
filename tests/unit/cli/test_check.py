"""The command waitcall check."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from waitcall.cli import main
from waitcall.configuration.policy import SHIPPED_POLICY, json_schema
from waitcall.configuration.settings import SETTINGS


def test_check_names_every_mistake_and_exits_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WAITCALL_POLICY", str(tmp_path / "none.toml"))
    monkeypatch.setenv("WAITCALL_LOG_LEVEL", "loud")
    told = CliRunner().invoke(main, ["check"])

    assert told.exit_code == 2
    for name in ("POLICY", "LOG_LEVEL", "REDIS_URL", "API_KEYS"):
        assert f"WAITCALL_{name}" in told.stderr


SOUND = {
    "REDIS_URL": "redis://127.0.0.1/0",
    "SMSC_APIKEY": "hush",
    "CALLBACK_SECRETS": "hush" * 4,
    "API_KEYS": "web=" + "0" * 64,
    "KEY_PEPPER": "hush" * 8,
    "POLICY": str(Path(__file__).resolve().parents[3] / "config/policy.toml"),
}


def test_check_names_a_mistake_of_the_policy_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not known which other settings an unreadable policy needs."""
    own = '\n[routing]\ndefault = ["own"]\n[own_numbers]\ntwilio = ["2025550142"]\n'
    (tmp_path / "policy.toml").write_text(Path(SOUND["POLICY"]).read_text(encoding="utf-8") + own)
    for name, value in (SOUND | {"POLICY": str(tmp_path / "policy.toml")}).items():
        monkeypatch.setenv(f"WAITCALL_{name}", value)
    for name in ("SMSC_APIKEY", "CALLBACK_SECRETS"):
        monkeypatch.delenv(f"WAITCALL_{name}")

    told = CliRunner().invoke(main, ["check"])

    (mistake,) = told.stderr.splitlines()
    assert (told.exit_code, "own_numbers.twilio.0" in mistake, "2025550142" in mistake) == (2, True, True)


def test_check_tells_where_each_value_comes_from_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "level").write_text("debug\n")
    for name, value in (SOUND | {"LOG_LEVEL_FILE": str(tmp_path / "level")}).items():
        monkeypatch.setenv(f"WAITCALL_{name}", value)

    told = CliRunner().invoke(main, ["check", "--values", "--json"])

    rows = {
        each["setting"].removeprefix("WAITCALL_"): (each["from"], each["value"])
        for each in json.loads(told.stdout)
    }
    assert set(rows) == set(SETTINGS)
    assert (rows["LOG_LEVEL"], rows["DRAIN_SECONDS"]) == (("file", "debug"), ("default", "3"))
    assert rows["POLICY"] == ("environment", SOUND["POLICY"])
    secret = {name for name, each in rows.items() if each[1] == "***"}
    assert secret == set(SOUND) - {"POLICY"}
    assert "hush" not in told.output


def test_check_prints_the_schema_of_the_policy_whatever_the_settings_are() -> None:
    told = CliRunner().invoke(main, ["check", "--schema"])
    assert (told.exit_code, json.loads(told.stdout)) == (0, json_schema())


def test_check_prints_a_policy_to_begin_with() -> None:
    told = CliRunner().invoke(main, ["check", "--example-policy"])
    assert (told.exit_code, told.stdout) == (0, Path(SOUND["POLICY"]).read_text(encoding="utf-8"))


def test_check_shows_the_defaults_that_depend_on_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in SOUND.items():
        monkeypatch.setenv(f"WAITCALL_{name}", value)
    monkeypatch.delenv("WAITCALL_POLICY")

    told = CliRunner().invoke(main, ["check", "--values", "--json"])

    rows = {each["setting"]: (each["from"], each["value"]) for each in json.loads(told.stdout)}
    assert rows["WAITCALL_POLICY"] == ("default", str(SHIPPED_POLICY))
    assert int(rows["WAITCALL_WORKERS"][1]) >= 1


def test_check_says_when_all_is_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SOUND.items():
        monkeypatch.setenv(f"WAITCALL_{name}", value)

    told = CliRunner().invoke(main, ["check"])
    assert (told.exit_code, told.stderr, told.stdout) == (0, "", "The settings are sound.\n")
    monkeypatch.setenv("WAITCALL_CALLBACK_HASH", "crc32")
    told = CliRunner().invoke(main, ["check"])
    assert (told.exit_code, told.stderr.count("Warning:")) == (0, 1)
    told = CliRunner().invoke(main, ["check", "--json"])
    answer = json.loads(told.stdout)
    assert (answer["sound"], len(answer["warnings"])) == (True, 1)
