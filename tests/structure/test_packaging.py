"""The package declares what its code imports, and the parts of a release have one version."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
