"""Test compose.yaml without an engine: its settings are known and its files exist. tests/image/test_compose.py runs it."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from development import compose_env
from development.compose_env import PUBLISHED, environment
from waitcall.configuration.settings import PREFIX, SETTINGS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "compose.yaml").read_text()
SERVICES = yaml.safe_load(TEXT)["services"]


def test_every_variable_given_to_the_service_is_a_setting() -> None:
    for name in ("api", "public", "worker"):
        assert {each.removeprefix(PREFIX) for each in SERVICES[name]["environment"]} <= {*SETTINGS}


def test_the_public_side_is_a_separate_process_tree_without_keys_and_accounts() -> None:
    api, public = (dict(SERVICES[name]["environment"]) for name in ("api", "public"))
    assert (api.pop("WAITCALL_SURFACES"), public.pop("WAITCALL_SURFACES")) == ("api", "callback")
    assert public.items() < api.items()
    assert {*api} - {*public} == {
        *("WAITCALL_API_KEYS", "WAITCALL_SMSC_APIKEY", "WAITCALL_SMSC_URLS", "WAITCALL_WEBHOOK_SECRETS")
    }
    assert "--handler=http://public:8081/callbacks/smsc" in SERVICES["simulator"]["command"]
    assert {name for name, each in SERVICES.items() if each.get("network_mode")} == {"worker", "simulator"}


def test_prometheus_scrapes_the_serving_processes_and_the_worker() -> None:
    scraped = yaml.safe_load((ROOT / "development/compose/prometheus.yaml").read_text())["scrape_configs"]
    # The worker shares the network of the API's container, so it is reached by the API's name.
    assert scraped[0]["static_configs"] == [{"targets": ["api:9090", "api:9091", "public:9090"]}]


def test_every_variable_is_made_by_compose_env_or_has_a_default() -> None:
    needed = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert needed == {*environment()}


def test_compose_env_writes_the_key_and_the_policy_and_names_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT_BASE", "18080")
    compose_env.main(tmp_path)

    told, env = capsys.readouterr().out, tmp_path / ".env"
    assert "docker compose up --build" in told
    assert "http://127.0.0.1:18082/" in told
    assert env.stat().st_mode & 0o777 == 0o600
    written = dict(line.split("=", 1) for line in env.read_text().splitlines())
    assert written["WEB_KEY"]
    assert written["WEB_KEY"] not in told
    policy = tomllib.loads((tmp_path / ".compose/policy.toml").read_text())
    assert policy["clients"]["web"]["hosted"]["return_origins"] == ["http://127.0.0.1:18085"]
    assert policy["clients"]["web"]["webhooks"]["login"]["url"] == "http://login:8085/waitcall"
    with pytest.raises(SystemExit, match="exists already"):
        compose_env.main(tmp_path)


def test_the_account_rents_the_number_for_texts() -> None:
    numbers = tomllib.loads((ROOT / "examples/policy.toml").read_text())["text_in"]["numbers"]
    assert [f"--rented={number}" for number in numbers] == [
        each for each in SERVICES["simulator"]["command"] if each.startswith("--rented")
    ]


def test_the_published_ports_are_those_that_compose_env_moves() -> None:
    assert {(name, int(port)) for name, port in re.findall(r"\$\{(\w+_PORT):-(\d+)\}", TEXT)} == {
        *PUBLISHED.items()
    }
    published = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert len(published) == len(PUBLISHED)
    assert all("_PORT:-" in port for port in published)


def test_every_mounted_file_exists() -> None:
    mounted = [volume.split(":")[0] for each in SERVICES.values() for volume in each.get("volumes", [])]
    kept = [path for path in mounted if path.startswith("./") and path != "./.compose/policy.toml"]
    assert all((ROOT / path).exists() for path in kept)
    assert (len(kept), mounted.count("./.compose/policy.toml")) == (6, 3)


def test_nothing_is_published_beyond_this_machine() -> None:
    for each in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in each.get("ports", []))
