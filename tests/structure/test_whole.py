"""Rules that the whole tree keeps: routes, reference pages, Redis scripts, lock files, threats and imports."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask

from development.client import version
from tests import threats
from waitcall.adapters.http.problems import STATUS_OF
from waitcall.adapters.redis.script import source
from waitcall.configuration.settings import load_settings
from waitcall.domain.errors import ServiceError
from waitcall.domain.policy import Permission
from waitcall.domain.status import Reason, Status

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs/reference"
SCRIPTS = sorted((ROOT / "service/waitcall/adapters/redis/scripts").glob("*.lua"))
OPEN_ROUTES = {
    "api": {"/openapi.json", "/docs", "/docs/<asset>"},
    "callback": {"/callbacks/smsc"},
    "ops": {"/livez", "/readyz", "/version", "/metrics"},
}


@pytest.fixture
def surfaces(tmp_path: Path) -> dict[str, Flask]:
    from development.stack import development_settings  # noqa: PLC0415
    from waitcall.composition import build  # noqa: PLC0415

    environ = development_settings() | {
        "WAITCALL_REDIS_URL": "redis://127.0.0.1:1/0",
        "WAITCALL_POLICY": str(ROOT / "config/policy.toml"),
    }
    built = build(load_settings(environ, development=True), multiprocess_dir=None)
    return {app.name: app for app in built.by_port.values()}


def test_every_route_needs_a_key_or_says_that_it_does_not(surfaces: dict[str, Flask]) -> None:
    found = {
        name: {
            rule.rule
            for rule in app.url_map.iter_rules()
            if getattr(app.view_functions[rule.endpoint], "no_auth", False)
        }
        for name, app in surfaces.items()
    }
    assert found == OPEN_ROUTES


def test_every_keyed_route_names_the_scope_that_it_needs(surfaces: dict[str, Flask]) -> None:
    for app in surfaces.values():
        for rule in app.url_map.iter_rules():
            view = app.view_functions[rule.endpoint]
            assert getattr(view, "no_auth", False) != isinstance(
                getattr(view, "permission", None), Permission
            ), rule


def test_every_keyed_route_is_in_the_openapi_document(surfaces: dict[str, Flask]) -> None:
    api = surfaces["api"]
    document = api.test_client().get("/openapi.json").get_json()
    routes = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method)
        for rule in api.url_map.iter_rules()
        if rule.rule not in OPEN_ROUTES["api"]
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    }
    documented = {
        (path, method.upper())
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert documented == routes


def test_the_document_names_the_permission_of_each_route(surfaces: dict[str, Flask]) -> None:
    api = surfaces["api"]
    paths = api.test_client().get("/openapi.json").get_json()["paths"]
    for rule in api.url_map.iter_rules():
        if rule.rule in OPEN_ROUTES["api"]:
            continue
        (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        told = paths[re.sub(r"<(\w+)>", r"{\1}", rule.rule)][method.lower()]
        assert told["security"] == [{"key": [api.view_functions[rule.endpoint].permission]}]
        assert {"401", "403"} <= set(told["responses"])


def test_every_error_has_a_status_and_a_line_on_its_page() -> None:
    def leaves(kind: type[ServiceError]) -> list[type[ServiceError]]:
        below = kind.__subclasses__()
        return [leaf for each in below for leaf in leaves(each)] if below else [kind]

    for leaf in leaves(ServiceError):
        assert leaf.code in STATUS_OF
    page = (REFERENCE / "problems.md").read_text()
    status = ""
    found = {}
    for line in page.splitlines():
        if line.startswith("## "):
            status = line.split()[1]
        elif line.startswith("### "):
            found[line.removeprefix("### ").strip("`")] = int(status)
    assert found == STATUS_OF


def test_every_metric_is_on_its_page_and_no_other() -> None:
    from waitcall.adapters.telemetry.metrics import Metrics  # noqa: PLC0415

    collected = Metrics("1", [], [], worker=True).registry.collect()
    names = {metric.name + ("_total" if metric.type == "counter" else "") for metric in collected}
    assert set(re.findall(r"`(waitcall_\w+)`", (REFERENCE / "metrics.md").read_text())) == names


def test_every_status_and_reason_is_on_the_api_page() -> None:
    page = (REFERENCE / "api.md").read_text()
    for each in (*(set(Status) - {Status.ORDERING}), *Reason):
        assert f"\n| `{each}` | " in page


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_are_small_and_explained_and_every_key_expires(script: Path) -> None:
    text, code = script.read_text(), source(script.stem)
    assert len(code.splitlines()) <= 20
    assert {"-- KEYS", "-- Returns"} <= {
        line[: len(start)] for line in text.splitlines() for start in ("-- KEYS", "-- Returns")
    }
    for command in re.findall(r"redis\.p?call\([^)]*\)", code):
        name, key = re.findall(r"'(\w+)'|(KEYS\[\w+\]|ARGV\[1\] \.\. string\.sub)", command)[:2]
        # latest.lua reads the record that its pointer names. The record's key has the same hash tag, so the same slot.
        assert key[1].startswith("KEYS") or (key[1] and script.stem == "latest"), (
            f"a key that is not from KEYS: {command}"
        )
        if name[0] == "SET":
            assert "'PX'" in command
    grown = set(re.findall(r"'(?:ZADD|HSET|HINCRBY|INCR|XADD)', (KEYS\[\w+\])", code))
    expiring = set(re.findall(r"'PEXPIRE', (KEYS\[\w+\])", code))
    # A script that sets the time to live of KEYS[each] does so in a loop over all keys.
    assert grown <= expiring or "KEYS[each]" in expiring, grown - expiring


def test_no_finding_is_suppressed_without_its_number_and_a_reason() -> None:
    for folder in ("service", "config", "development", "simulator", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            for line in path.read_text().splitlines():
                if "nosec" in line:
                    assert re.search(r"# nosec B\d{3}  # \w.{8,}", line), f"{path.name}: {line}"


@pytest.mark.parametrize("line", ["flask", "flask>=3", "flask==3.1", "flask==3.1 --hash=md5:aa"])
def test_a_loose_line_of_a_lock_file_is_found(line: str) -> None:
    from development.audit import loose_lines  # noqa: PLC0415

    sound = "click==8.5 \\\n    --hash=sha256:aa\n"
    assert loose_lines(sound) == []
    assert loose_lines(sound + line + "\n") == [line.split(maxsplit=1)[0]]


def test_every_threat_has_a_section_and_every_named_test_exists() -> None:
    """`make threats` runs the tests. This finds a section without tests, without running them."""
    found = threats.sections((ROOT / "docs/threats.md").read_text())
    assert [name for name in threats.IDS if not found.get(name)] == []
    for test in threats.named():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(), test


def test_every_test_that_the_providers_page_names_exists() -> None:
    page = (ROOT / "docs/provider.md").read_text()
    named = re.findall(r"`(tests/[^`]+)::(\w+)`", page)
    assert len(named) > 50
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"


def test_functions_stay_small() -> None:
    """No function of the service has more than 50 lines."""
    for path in sorted((ROOT / "service").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and not any(
                isinstance(inner, ast.FunctionDef) for inner in ast.walk(node) if inner is not node
            ):
                assert (node.end_lineno or 0) - node.lineno < 50, f"{path.name}: {node.name}"


def test_lock_files_hold_hashes_and_no_addresses() -> None:
    names = sorted(ROOT.glob("requirements*.txt"))
    assert len(names) == 12
    for path in names:
        text = path.read_text()
        assert "://" not in text
        pinned = re.findall(r"^[a-z0-9][a-z0-9_.-]*==", text, re.MULTILINE)
        assert pinned
        assert len(pinned) == len(
            re.findall(
                r"^[a-z0-9][^\n]*\\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\\n|\n))+", text, re.MULTILINE
            )
        )


def test_the_clients_have_one_version_and_one_licence() -> None:
    source = ROOT / "clients/typescript"
    described = json.loads((source / "package.json").read_text())
    locked = json.loads((source / "package-lock.json").read_text())
    assert described["version"] == locked["version"] == locked["packages"][""]["version"] == version()
    assert (source / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_npm_lock_files_hold_hashes_and_no_addresses() -> None:
    paths = [
        *(ROOT / "development").glob("*/package-lock.json"),
        ROOT / "clients/typescript/package-lock.json",
    ]
    assert len(paths) == 4
    for path in paths:
        packages = json.loads(path.read_text())["packages"]
        assert packages.pop("")
        for name, package in packages.items():
            assert package["integrity"].startswith("sha512-"), name
            assert "resolved" not in package, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("service/waitcall/domain/numbers.py", "import redis", "The core knows no technology BROKEN"),
        (
            "service/waitcall/application/record_call.py",
            "import flask",
            "The core knows no technology BROKEN",
        ),
        (
            "service/waitcall/domain/matching.py",
            "import waitcall.configuration.settings",
            "Floors: each imports only downwards BROKEN",
        ),
        (
            "service/waitcall/adapters/http/auth.py",
            "import waitcall.adapters.redis.keys",
            "Adapters do not know each other BROKEN",
        ),
        ("simulator/exchange.py", "import waitcall", "Service and simulator are strangers BROKEN"),
        (
            "service/waitcall/configuration/settings.py",
            "import development",
            "The service does not know the laptop BROKEN",
        ),
        ("service/waitcall/utils.py", "", "Floors: each imports only downwards BROKEN"),
    ],
)
def test_a_planted_wrong_import_fails_the_check(tmp_path: Path, file: str, line: str, contract: str) -> None:
    for name in ("service", "simulator", "development"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    planted = tmp_path / file
    planted.write_text((planted.read_text() if planted.exists() else "") + f"\n{line}\n")

    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{tmp_path / 'service'}", "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode != 0
    assert contract in checked.stdout


def test_every_unit_test_is_found_by_the_path_of_its_module() -> None:
    """A test is named after a module, a package, or a function of its folder's ``__init__``."""
    several = {"lost_races", "lost_races_of_channels"}  # all use cases that may lose a race
    nowhere = []
    for path in sorted((ROOT / "tests/unit").rglob("test_*.py")):
        folder = ROOT / "service/waitcall" / path.parent.relative_to(ROOT / "tests/unit")
        name = path.stem.removeprefix("test_")
        if not folder.exists() or name in several:
            continue
        functions = re.findall(r"^def (\w+)", (folder / "__init__.py").read_text(), re.MULTILINE)
        if not (folder / f"{name}.py").exists() and not (folder / name).exists() and name not in functions:
            nowhere.append(str(path.relative_to(ROOT)))
    assert nowhere == []


def test_every_name_on_the_page_about_the_architecture_exists() -> None:
    page = re.sub(r"```.*?```", "", (ROOT / "docs/architecture.md").read_text(), flags=re.DOTALL)
    files = [each for each in (ROOT / "service").rglob("*") if each.suffix in (".py", ".lua")]
    known = set(re.findall(r"\w+", "\n".join(each.read_text() for each in files)))
    known |= {part for each in files for part in each.relative_to(ROOT / "service").parts}
    missing = [
        name
        for name in re.findall(r"`([^`]+)`", page)
        if not (ROOT / name).exists()
        and not all(part in known for part in re.split(r"[/. -]", name.removesuffix(".py")) if part)
    ]
    assert missing == []
