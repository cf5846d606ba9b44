"""Test the OpenAPI document with third-party tools: a linter finds nothing, and a generated Python client works."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.conftest import KEY, Running
from waitcall.adapters.http.api import build_document

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools/openapi"
NODE = TOOLS / "node_modules/.bin"

pytestmark = pytest.mark.slow
needs_npm = pytest.mark.skipif(not NODE.is_dir(), reason="not installed: make openapi-tools, with npm")
needs_generator = pytest.mark.skipif(
    not (TOOLS / "openapi_python_client").is_dir(), reason="not installed: make openapi-tools"
)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(build_document("1")))
    return path


def run(command: list[str | Path], directory: Path, **environ: str) -> str:
    """Run a tool that must succeed, and return its output."""
    done = subprocess.run(
        command, cwd=directory, env=os.environ | environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def lint(document: Path) -> Any:
    """Return the linter's findings under its strictest rules, where a warning is an error."""
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    command = [NODE / "redocly", "lint", "--extends=recommended-strict", "--format=json", document]
    done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True, check=False)
    return json.loads(done.stdout[done.stdout.index("{") :])["problems"]


@needs_npm
def test_a_linter_finds_nothing(document: Path) -> None:
    assert lint(document) == []


@needs_npm
def test_the_linter_would_find_a_wrong_example(document: Path) -> None:
    spoilt = json.loads(document.read_text())
    spoilt["components"]["schemas"]["Check"]["properties"]["code"]["examples"] = ["12345"]
    document.write_text(json.dumps(spoilt))

    assert [each["ruleId"] for each in lint(document)] == ["no-invalid-schema-examples"]


@needs_generator
def test_a_generated_python_client_completes_a_verification(
    document: Path, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = document.parent
    generate = [sys.executable, "-m", "openapi_python_client", "generate", "--path", document]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    printed = run(
        [*generate, "--meta", "none", "--output-path", directory / "made_from_the_document"],
        directory,
        PYTHONPATH=str(TOOLS),
        PATH=path,
    )
    assert "warning" not in printed.lower()
    # The client needs attrs, which is installed beside its generator.
    monkeypatch.setattr(sys, "path", [str(directory), *sys.path, str(TOOLS)])
    made = import_module("made_from_the_document")
    verifications = "made_from_the_document.api.verifications"
    create, read, consume = (
        import_module(f"{verifications}.{name}") for name in ("create", "read", "consume")
    )
    models = import_module("made_from_the_document.models")
    base = "http://waitcall.example"
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(
        transport=httpx.WSGITransport(running.api), base_url=base, headers=headers
    ) as connection:
        client = made.AuthenticatedClient(base_url=base, token=KEY).set_httpx_client(connection)

        asked = models.Create(phone_number="+79991234567", purpose="login", reference="flow")
        started = create.sync(client=client, body=asked)
        running.call()
        verified = read.sync(started.id, client=client, wait=0)
        proof = models.Consume(purpose="login", reference="flow")
        consumed = consume.sync(started.id, client=client, body=proof)
        again = consume.sync(started.id, client=client, body=proof)

    assert started.call.number.startswith("+7")
    assert [verified.status, consumed.status] == ["verified", "consumed"]
    assert (again.code, again.status) == ("already_consumed", 409)
