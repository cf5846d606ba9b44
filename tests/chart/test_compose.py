"""Test compose.yaml without a Docker engine: its settings are known and its files exist."""

import re
from pathlib import Path

import yaml

from development.compose_env import PUBLISHED, environment
from waitcall.configuration.settings import PREFIX, SETTINGS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "compose.yaml").read_text()
SERVICES = yaml.safe_load(TEXT)["services"]


def test_every_variable_given_to_the_service_is_a_setting() -> None:
    for name in ("api", "public", "worker"):
        assert {each.removeprefix(PREFIX) for each in SERVICES[name]["environment"]} <= {*SETTINGS}


def test_the_public_side_is_a_separate_process_tree_without_keys_and_accounts() -> None:
    served = {name: SERVICES[name]["command"][1:] for name in ("api", "public")}
    assert served == {"api": ["--surface", "api"], "public": ["--surface", "callback"]}
    assert SERVICES["public"]["environment"].items() < SERVICES["api"]["environment"].items()
    assert {*SERVICES["api"]["environment"]} - {*SERVICES["public"]["environment"]} == {
        *("WAITCALL_API_KEYS", "WAITCALL_SMSC_APIKEY", "WAITCALL_SMSC_URLS")
    }
    assert "--handler=http://public:8081/callbacks/smsc" in SERVICES["simulator"]["command"]
    assert {name for name, each in SERVICES.items() if each.get("network_mode")} == {"worker", "simulator"}


def test_prometheus_scrapes_the_serving_processes_and_the_worker() -> None:
    scraped = yaml.safe_load((ROOT / "development/compose/prometheus.yaml").read_text())["scrape_configs"]
    # The worker shares the network of the API's container, so it is reached by the API's name.
    assert scraped[0]["static_configs"] == [{"targets": ["api:9090", "api:9091", "public:9090"]}]


def test_every_variable_is_made_by_compose_env_or_has_a_default() -> None:
    needed = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert needed == {*environment("a key")}


def test_the_published_ports_are_those_that_compose_env_moves() -> None:
    assert {name: int(port) for name, port in re.findall(r"\$\{(\w+_PORT):-(\d+)\}", TEXT)} == PUBLISHED
    published = [port for each in SERVICES.values() for port in each.get("ports", [])]
    assert len(published) == len(PUBLISHED)
    assert all("_PORT:-" in port for port in published)


def test_every_mounted_file_exists() -> None:
    mounted = [volume.split(":")[0] for each in SERVICES.values() for volume in each.get("volumes", [])]
    assert all((ROOT / path).exists() for path in mounted if path.startswith("./"))
    assert len(mounted) == 7


def test_nothing_is_published_beyond_this_machine() -> None:
    for each in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in each.get("ports", []))
