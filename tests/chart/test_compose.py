"""compose.yaml, as far as it can be held without a Docker engine: its words are ours, its files are there."""

import re
from pathlib import Path

import yaml

from development.compose_env import environment
from service.settings import NAMES, PREFIX

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "compose.yaml").read_text()
SERVICES = yaml.safe_load(TEXT)["services"]


def test_what_it_tells_the_service_are_settings() -> None:
    for name in ("serve", "worker"):
        assert {each.removeprefix(PREFIX) for each in SERVICES[name]["environment"]} <= {*NAMES}


def test_every_variable_is_made_by_compose_env_or_has_a_default() -> None:
    needed = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert needed == {*environment("a key")}


def test_every_file_that_it_mounts_is_there() -> None:
    mounted = [volume.split(":")[0] for each in SERVICES.values() for volume in each.get("volumes", [])]
    assert all((ROOT / path).exists() for path in mounted if path.startswith("./"))
    assert len(mounted) == 7


def test_nothing_is_published_beyond_this_machine() -> None:
    for each in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in each.get("ports", []))
