"""Run the attacker's script against gunicorn, Valkey and the provider simulator. No attack may succeed."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.server import Simulator
from tests.end_to_end.attacker import APP_KEY, OPERATOR_KEY, POLICY, Attacker, Attempt
from tests.end_to_end.conftest import KEY, ROOT, Service, Starting, launch_worker
from tests.end_to_end.own_attacks import SETTINGS

pytestmark = pytest.mark.slow


@pytest.fixture
def attacked(starting: Starting, simulator: Simulator, tmp_path: Path) -> Iterator[Service]:
    simulator.exchange.reset()
    keys = {"web": KEY, "app": APP_KEY, "operator": OPERATOR_KEY}
    pairs = ",".join(f"{name}={hashlib.sha256(key.encode()).hexdigest()}" for name, key in keys.items())
    service = starting(
        policy=POLICY,
        WAITCALL_API_KEYS=pairs,
        WAITCALL_PUBLIC_URL="http://127.0.0.1",
        WAITCALL_TRUSTED_HOPS="1",
        **SETTINGS,
    )
    worker = launch_worker(service, tmp_path, WAITCALL_INBOX_POLL_SECONDS="20")
    yield service
    worker.stop()
    simulator.faults.load([], None)


def record(attempts: list[Attempt]) -> str:
    """Return the text of docs/attacks.md for these attempts."""
    lines = [
        "# A recorded run of the attacker's script",
        "",
        "`make attack` starts gunicorn with two workers, `waitcall worker`, Valkey and the provider simulator, tries each of these, and",
        "writes this page. The script is `tests/end_to_end/attacker.py`. `make test-all` runs it and fails if an attack succeeds.",
        "",
    ]
    for index, attempt in enumerate(attempts, 1):
        end = "**succeeded**" if attempt.won else "failed"
        lines += [f"## {index}. {attempt.heading}", ""]
        lines += [f"- {step}" for step in attempt.told]
        lines += ["", f"The attack {end}.", ""]
    return "\n".join(lines)


def test_no_attack_of_the_script_succeeds(
    attacked: Service, simulator: Simulator, request: pytest.FixtureRequest
) -> None:
    attempts = list(Attacker(attacked, simulator).all())

    assert [f"{each.name}: {each.told}" for each in attempts if each.won] == []
    assert [each.name for each in attempts if not each.told] == []
    page = ROOT / "docs/attacks.md"
    if request.config.getoption("--record-attacks"):
        page.write_text(record(attempts))
    headings = re.findall(r"^## \d+\. (.+)$", page.read_text(), re.MULTILINE)
    assert headings == [each.heading for each in attempts]
    assert page.read_text().count("The attack failed.") == len(attempts)
