"""Generate clients in TypeScript, Go and Java from the served OpenAPI document, and complete a verification with each.

Between client and service stands a proxy that adds fields to the answers, because a newer service may have some.
"""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from simulator.server import Simulator
from tests.end_to_end.conftest import KEY, ROOT, Service
from tests.end_to_end.test_client import dial

PROGRAMS = ROOT / "development/openapi"
NODE = ROOT / ".tools/openapi/node_modules"
GENERATORS = ROOT / ".tools/generators"
JAVA = GENERATORS / "java"
NEWER = {"a_newer_field": {"with": ["values", None, 1]}}

pytestmark = pytest.mark.slow


def needs(program: str, made: Path, kit: str) -> pytest.MarkDecorator:
    missing = shutil.which(program) is None or not made.exists()
    return pytest.mark.skipif(missing, reason=f"not installed: {program}, or make openapi-tools with {kit}")


def add_fields(answer: Any) -> Any:
    """Return an answer with a newer field in each of its objects, except maps of the caller's own names."""
    if not isinstance(answer, dict):
        return answer
    kept = ("metadata", "errors")
    return {name: each if name in kept else add_fields(each) for name, each in answer.items()} | NEWER


@pytest.fixture(scope="module")
def newer_api(service: Service) -> Iterator[str]:
    """URL of a proxy of the service whose answers have more fields."""

    class Handler(BaseHTTPRequestHandler):
        def forward(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            passed = {
                name.replace("-", "_"): self.headers[name]
                for name in ("Authorization", "Idempotency-Key")
                if name in self.headers
            }
            answer = service.ask(self.command, service.api + self.path, body, **passed)
            widened = json.dumps(add_fields(answer.json)).encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(widened)))
            self.end_headers()
            self.wfile.write(widened)

        def do_GET(self) -> None:
            self.forward()

        def do_POST(self) -> None:
            self.forward()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def run(directory: Path, *command: str | Path, **environ: str) -> None:
    """Run a tool that must succeed."""
    done = subprocess.run(
        command, cwd=directory, env=os.environ | environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def build_typescript(directory: Path) -> list[str | Path]:
    (directory / "node_modules").symlink_to(NODE)
    (directory / "package.json").write_text('{"type": "module"}')
    shutil.copy(PROGRAMS / "journey.ts", directory)
    # The only names of Node that the program uses.
    (directory / "node.d.ts").write_text("declare const process: { argv: string[] };\n")
    run(directory, NODE / ".bin/openapi-typescript", "openapi.json", "-o", "api.d.ts")
    options = ["--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable", "--module", "nodenext"]
    run(directory, NODE / ".bin/tsc", *options, "journey.ts", "node.d.ts")
    return ["node", "journey.js"]


def build_go(directory: Path) -> list[str | Path]:
    shutil.copytree(PROGRAMS / "go", directory, dirs_exist_ok=True)
    (directory / "client").mkdir()
    generate = [GENERATORS / "oapi-codegen", "-generate", "types,client", "-package", "client"]
    run(directory, *generate, "-o", "client/client.go", "openapi.json")
    run(directory, "go", "build", "-o", "journey", ".", GOTOOLCHAIN="local")
    return [directory / "journey"]


def build_java(directory: Path) -> list[str | Path]:
    shutil.copy(PROGRAMS / "java/Journey.java", directory)
    (generator,) = JAVA.glob("openapi-generator-cli-*.jar")
    # The generator's jar holds other versions of the libraries, so it must not be among them.
    libraries = ":".join(str(path) for path in JAVA.glob("*.jar") if path != generator)
    generate = ["java", "-jar", generator, "generate", "-i", "openapi.json", "-o", "made"]
    run(directory, *generate, "-g", "java", "--library", "native")
    sources = [str(path) for path in (directory / "made/src/main/java").rglob("*.java")]
    run(directory, "javac", "-nowarn", "-d", "classes", "-cp", libraries, *sources, "Journey.java")
    return ["java", "-cp", f"classes:{libraries}", "Journey"]


@pytest.mark.parametrize(
    ("build", "number"),
    [
        pytest.param(
            build_typescript,
            "+79995570001",
            marks=needs("node", NODE / ".bin/openapi-typescript", "npm"),
            id="typescript",
        ),
        pytest.param(build_go, "+79995570002", marks=needs("go", GENERATORS / "oapi-codegen", "Go"), id="go"),
        pytest.param(build_java, "+79995570003", marks=needs("javac", JAVA, "Maven"), id="java"),
    ],
)
def test_a_generated_client_completes_a_verification(
    build: Callable[[Path], list[str | Path]],
    number: str,
    service: Service,
    newer_api: str,
    simulator: Simulator,
    tmp_path: Path,
) -> None:
    (tmp_path / "openapi.json").write_bytes(service.ask("GET", f"{service.api}/openapi.json").body)
    program = build(tmp_path)
    journey = subprocess.Popen(
        [*program, newer_api, KEY, number, f"reference-of-{number}"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        # A call counts from the moment at which the create is answered, and then the program prints its first line.
        assert journey.stdout is not None
        printed = journey.stdout.readline()
        if printed:
            dial(simulator, number)
        printed += journey.communicate(timeout=60)[0]
    finally:
        journey.kill()
        journey.wait()
    did, _ = simulator.exchange.orders[number.removeprefix("+")]
    lines = [
        f"pending +{did}",
        "verified call_matched",
        "consumed",
        "409 already_consumed",
    ]
    assert printed.splitlines() == lines
