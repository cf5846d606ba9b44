"""Clients of the provider that others wrote for the real one work with the simulator."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.dialler import Handler
from simulator.server import Options, Simulator

ROOT = Path(__file__).resolve().parents[2]
TOOLS, JOURNEYS = ROOT / ".tools/provider-clients", ROOT / "development/provider_clients"

pytestmark = pytest.mark.slow
needs_npm = pytest.mark.skipif(
    not (TOOLS / "node_modules/node-smsc").is_dir(), reason="not installed: make provider-clients, with npm"
)
needs_python = pytest.mark.skipif(
    not (TOOLS / "smsc").is_dir(), reason="not installed: make provider-clients, with the package index"
)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Options(Handler("http://127.0.0.1:9/", "a-secret-of-the-tests"), calm=True)) as running:
        running.cabinet.reset()
        yield running


def run(*command: str | Path, **environ: str) -> Any:
    """Run a program that must succeed, and return the JSON that it prints."""
    done = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@needs_npm
@pytest.mark.parametrize("confirmation", [None, "OK", ""])
def test_node_smsc_sends_asks_and_rents(simulator: Simulator, confirmation: str | None) -> None:
    simulator.cabinet.confirmation = confirmation
    url = f"{simulator.base_url}/"
    told = run("node", JOURNEYS / "journey.js", url, NODE_PATH=str(TOOLS / "node_modules"))
    assert told["price"] == {"cost": "3.50", "cnt": 1}
    assert told["sent"] == {"id": 42, "cnt": 2, "cost": "7.00", "balance": "250.80"}
    assert told["again"]["error_code"] == 9
    assert (told["status"]["message"], told["status"]["country"]) == ("Привет", "Россия")
    assert [(each["id"], each["status"]) for each in told["statuses"]] == [(42, 0)] * 2
    assert told["balance"] == {"balance": "250.80", "currency": "RUB"}
    assert told["refused"] == {"error": "authorise error", "error_code": 2}
    assert told["inbox"] == []
    assert [each["type"] for each in told["free"]] == [1, 4, 2]
    assert told["rented"] == {"cost": "180.00"}
    assert told["changed"] == {"result": "OK" if confirmation is None else confirmation}
    assert [each.phone for each in simulator.office.sent] == ["79991234567", "79991234568"]
    assert simulator.cabinet.numbers[0].noprolong == 0
    passwords = {each["fields"]["psw"] for each in simulator.exchange.ledger if "fields" in each}
    assert passwords == {"***"}


@needs_python
def test_smsc_and_smsc_client_of_pypi_send_and_ask(simulator: Simulator) -> None:
    told = run(sys.executable, JOURNEYS / "journey.py", f"{simulator.base_url}/", TOOLS)
    assert told["price"] == [1, 3.5, None]
    assert told["sent"] == [1, 2, 7.0, None]
    assert told["again"] == [9, "too many requests"]
    assert told["statuses"] == [[0, "Передано оператору", "Привет"]] * 2
    assert told["phones"] == ["79991234567", "79991234568"]
    assert told["flash"] == ["Flash", "Мегафон", "3:00:00"]
    assert told["balance"] == [250.8, "RUB"]
    assert told["text"] == ["1 SMS", "77"]
    sent = [(each.phone, each.text, each.sender) for each in simulator.office.sent[2:]]
    assert sent == [("79991234567", "Flash", "Us"), ("79991234567", "text", "Us")]
