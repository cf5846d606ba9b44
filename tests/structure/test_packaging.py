"""The package declares what its code imports, and the parts of a release have one version."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import waitcall
from waitcall.configuration.policy import SHIPPED_POLICY

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(each).name) for each in requirements}


def test_every_library_that_the_service_imports_is_a_dependency() -> None:
    distributions = packages_distributions()
    imported = set()
    for path in (ROOT / "service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    libraries = imported - set(sys.stdlib_module_names) - {"waitcall", "opentelemetry"}

    used = {canonicalize_name(distributions[each][0]) for each in libraries}

    declared = names(PROJECT["dependencies"])
    assert used <= declared
    assert set(PROJECT["optional-dependencies"]) == {"tracing"}


def test_the_packages_policy_is_the_one_in_config() -> None:
    assert SHIPPED_POLICY.resolve() == ROOT / "config/policy.toml"


def test_service_client_and_chart_have_one_version() -> None:
    client = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((ROOT / "helm/waitcall/Chart.yaml").read_text())
    agents = {
        re.search(
            r"waitcall-client/([\d.]+)", (ROOT / f"clients/python/src/waitcall_client/{each}.py").read_text()
        )[1]  # type: ignore[index]
        for each in ("aio", "sync")
    }
    released = re.search(r"^## \[(\d[\d.]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released
    assert {
        PROJECT["version"],
        waitcall.__version__,
        client,
        chart["version"],
        chart["appVersion"],
        *agents,
        released[1],
    } == {PROJECT["version"]}
