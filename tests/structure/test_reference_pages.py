"""Reference pages, chart and development environment say what the code declares."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from marshmallow.validate import Range

from development import chart_readme, reference
from waitcall.configuration.policy import json_schema, read_policy
from waitcall.configuration.settings import SETTINGS, Setting, load_settings

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = {
    "WAITCALL_REDIS_URL": "redis://127.0.0.1:6379/0",
    "WAITCALL_SMSC_APIKEY": "an-api-key",
    "WAITCALL_CALLBACK_SECRETS": "a-secret-of-sixteen",
    "WAITCALL_API_KEYS": f"web={'0' * 64}",
    "WAITCALL_KEY_PEPPER": "p" * 32,
}
POLICY = """
dial_regions = ["RU"]
purposes.login = {}
clients.web = {purposes = ["login"], webhooks.main.url = "https://login.example.org/events"}
conversion = {country.mode = "enforce", prefix = {mode = "enforce", digits = 5}}
test_numbers = {"+12025550101" = {outcome = "verified"}}
assurance = {RU = {level = "network", source = "a law"}}
"""


@pytest.mark.parametrize(
    "file",
    [
        "settings.md",
        "policy.md",
        "policy.schema.json",
        "api.md",
        "problems.md",
        "webhooks.md",
        "metrics.md",
        "cli.md",
    ],
)
def test_the_pages_are_made_from_the_declarations(file: str) -> None:
    assert (reference.PAGES / file).read_text() == reference.pages()[file], "make reference"


def rows(page: str) -> dict[str, str]:
    """Defaults of a page that are written as they would be given, by name."""
    return dict(
        re.findall(r"^### `([\w.]+)`\n\n[^\n]+\n\n\*\*Default\*\* `([^`]+)`(?: ·|$)", page, re.MULTILINE)
    )


def test_a_setting_that_is_given_its_default_is_as_if_it_were_not_given() -> None:
    defaults = rows(reference.settings())
    assert len(defaults) > 20
    unset = repr(load_settings(REQUIRED))
    for name, default in defaults.items():
        # Secrets have no default, and their reprs are alike.
        assert repr(load_settings(REQUIRED | {name: default})) == unset, name


def test_a_policy_key_that_is_given_its_default_is_as_if_it_were_not_given(tmp_path: Path) -> None:
    document = tomllib.loads(POLICY)
    defaults = rows(reference.policy())
    assert len(defaults) > 30
    for name, default in defaults.items():
        put(
            document,
            name.replace("purposes.NAME", "purposes.login")
            .replace("clients.NAME", "clients.web")
            .replace("NUMBER", "+12025550101")
            .replace("REGION", "RU")
            .replace("NAME", "main"),
            json.loads(default),
        )
    (tmp_path / "unset.toml").write_text(POLICY)
    # JSON's values are TOML's.
    (tmp_path / "set.toml").write_text(
        "\n".join(f"{name} = {inline(each)}" for name, each in document.items())
    )

    assert read_policy(str(tmp_path / "set.toml")) == read_policy(str(tmp_path / "unset.toml"))


def put(document: dict[str, Any], path: str, value: Any) -> None:
    *tables, key = path.split(".")
    for table in tables:
        document = document.setdefault(table, {})
    document[key] = value


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{name}" = {inline(each)}' for name, each in value.items()) + "}"
    return json.dumps(value)


CHART = ROOT / "helm/waitcall"
OF_THE_CHART = {"workers": "2"}
"""Defaults that the chart has of its own: a pod's processes are not as many as the node's cores."""


def test_the_chart_says_what_the_declarations_say() -> None:
    text = (CHART / "values.yaml").read_text()
    assert text == chart_readme.described(text), "make reference"
    assert (CHART / "README.md").read_text() == chart_readme.filled((CHART / "README.md").read_text(), text)
    for name, value in yaml.safe_load(text)["settings"].items():
        told = ",".join(value) if isinstance(value, list) else str(value)
        assert told == OF_THE_CHART.get(name, setting_of(name).default), name


def test_the_chart_takes_no_number_that_the_service_refuses() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]["properties"]
    # The other choice is a text of digits, for --set-string.
    numbers = {name: each["anyOf"][0] for name, each in schema.items() if "anyOf" in each}
    bounded = {name: each for name, each in numbers.items() if "maximum" in each}
    assert len(bounded) > 8
    for name, each in bounded.items():
        (inside,) = [one for one in setting_of(name).reads.validators if isinstance(one, Range)]
        assert inside.min <= each.get("minimum", each.get("exclusiveMinimum")), name
        assert each["maximum"] <= inside.max, name


def setting_of(value: str) -> Setting:
    return SETTINGS[re.sub(r"([A-Z])", r"_\1", value).upper()]


def test_the_development_environment_holds_what_differs_from_the_defaults() -> None:
    lines = (ROOT / "config/development.env").read_text().splitlines()
    given = dict(line.removeprefix("WAITCALL_").split("=", 1) for line in lines if not line.startswith("#"))
    assert set(given) <= set(SETTINGS)
    assert [name for name, value in given.items() if SETTINGS[name].default == value] == []


@pytest.mark.parametrize("path", ["config/policy.toml", "examples/policy.toml"])
def test_policies_that_are_sound_fit_the_json_schema(path: str) -> None:
    jsonschema_rs.validate(json_schema(), tomllib.loads((ROOT / path).read_text()))


@pytest.mark.parametrize(
    "wrong",
    [
        "surprise = 1",
        'purposes.login.on_concurrent = "share"',
        "purposes.login.cooldown_seconds = 901",
        "clients.web.default_regions = 1",
        'limits.ip = "5/m"',
        'hosted.color = "red"',
        'assurance.RU = {level = "network"}',
    ],
)
def test_a_wrong_key_does_not_fit_the_json_schema(wrong: str) -> None:
    sound = 'dial_regions = ["RU"]\npurposes.login = {}\nclients.web.purposes = ["login"]\n'
    jsonschema_rs.validate(json_schema(), tomllib.loads(sound))
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(
            json_schema(),
            tomllib.loads(sound.replace("purposes.login = {}", "purposes.login.max_sends = 4") + wrong),
        )
