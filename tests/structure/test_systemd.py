"""Units in config/systemd: systemd accepts them, they are as closed as docs/deploy.md says, and their settings are sound."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from waitcall.configuration.settings import PREFIX, SETTINGS, load_settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "config/systemd"
UNITS = {name: (FOLDER / f"waitcall-{name}.service").read_text() for name in ("serve", "worker")}
PROGRAM = "/opt/waitcall/bin/waitcall"
CREDENTIALS = {
    "redis-url": "redis://127.0.0.1:6379/0\n",
    "smsc-apikey": "an-api-key\n",
    "callback-secrets": "a-secret-of-sixteen\n",
    "api-keys": f"web={'0' * 64}\n",
    "key-pepper": "p" * 32 + "\n",
}
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (apt install systemd)"
)


def values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNITS[unit], re.MULTILINE)


def environment(text: str) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return dict(pairs)  # type: ignore[arg-type]  # each has two parts


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """The units with a program that exists here."""
    program = str(Path(sys.executable).with_name("waitcall"))
    for name, text in UNITS.items():
        assert f"ExecStart={PROGRAM} {name}\n" in text
        (tmp_path / f"waitcall-{name}.service").write_text(text.replace(PROGRAM, program))
    return sorted(tmp_path.glob("*.service"))


@needs_systemd
def test_systemd_has_nothing_to_say_about_the_units(installed: list[Path]) -> None:
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *installed], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


@needs_systemd
def test_the_units_are_as_closed_as_the_page_says(installed: list[Path]) -> None:
    documented = re.search(
        r"systemd (\d+) rates the exposure of each ([\d.]+)", (ROOT / "docs/deploy.md").read_text()
    )
    assert documented
    told = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    for unit in installed:
        rated = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", "--no-pager", unit],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        found = re.search(r"Overall exposure level for \S+: ([\d.]+)", rated)
        assert found, rated
        # Other versions count other things.
        assert float(found[1]) < 2
        if told.startswith(f"systemd {documented[1]} "):
            assert found[1] == documented[2]


@pytest.mark.parametrize("unit", list(UNITS))
def test_a_unit_with_its_environment_file_and_credentials_has_sound_settings(
    unit: str, tmp_path: Path
) -> None:
    for name, text in CREDENTIALS.items():
        (tmp_path / name).write_text(text)
    given = environment((FOLDER / "waitcall.env").read_text())
    assert given["WAITCALL_POLICY"] == "/etc/waitcall/policy.toml"
    given |= {"WAITCALL_POLICY": str(ROOT / "config/policy.toml")}
    given |= environment("\n".join(values(unit, "Environment")).replace("%d", str(tmp_path)))

    settings = load_settings(given)

    assert settings.key_pepper.reveal() == "p" * 32
    assert {name.removeprefix(PREFIX).removesuffix("_FILE") for name in given} <= {
        *SETTINGS,
        "PROMETHEUS_MULTIPROC_DIR",
    }


@pytest.mark.parametrize("unit", list(UNITS))
def test_every_credential_is_loaded_and_used(unit: str) -> None:
    loaded = {each.partition(":")[0] for each in values(unit, "LoadCredential")}
    used = {each.partition("=%d/")[2] for each in values(unit, "Environment") if "%d" in each}
    assert loaded == used == set(CREDENTIALS)


def test_both_units_are_closed_in_the_same_way() -> None:
    serve, worker = (text[text.index("DynamicUser=") :] for text in UNITS.values())
    assert serve == worker


def test_the_service_has_more_open_files_than_it_wants_itself() -> None:
    """The unit forbids to raise the limit, so gunicorn's configuration must find enough."""
    settings = load_settings(
        {
            "WAITCALL_REDIS_URL": "redis://127.0.0.1/0",
            "WAITCALL_SMSC_APIKEY": "an-api-key",
            "WAITCALL_CALLBACK_SECRETS": "a-secret-of-sixteen",
            "WAITCALL_API_KEYS": f"web={'0' * 64}",
            "WAITCALL_KEY_PEPPER": "p" * 32,
            "WAITCALL_POLICY": str(ROOT / "config/policy.toml"),
        }
    )
    wanted = 4096 + 2 * (settings.max_waiting + settings.max_orders + 1000)
    assert int(values("serve", "LimitNOFILE")[0]) >= wanted
