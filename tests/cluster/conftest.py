"""The node for all tests of this folder. ``make cluster-test`` runs them; other runs skip them."""

import os
import time
from collections.abc import Iterator
from types import ModuleType

import pytest

from development.cluster import images, node, traces


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Skip the rest after the time in ``CLUSTER_UNTIL`` (seconds since 1970), so that CI ends within its own."""
    if time.time() > float(os.environ.get("CLUSTER_UNTIL", "inf")):
        pytest.skip("the time of CI is over")


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """Kubernetes with the images of this tree. A node that runs already stays."""
    if not request.config.getoption("--cluster"):
        pytest.skip("only make cluster-test runs these tests")
    if reason := node.missing():
        pytest.skip(reason)
    if node.running():
        node.load(images.archive())
        yield node
        return
    if left := traces.found():
        pytest.fail(
            f"A node is or was here, and does not answer: {', '.join(left)}. make cluster-down removes it."
        )
    try:
        node.start()
        yield node
    finally:
        node.stop()
