"""Build the TypeScript client, run its own tests against the double and the real service, and look at its package."""

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulator.server import Simulator
from tests.end_to_end.conftest import KEY, ROOT, Service, answers, launch, launch_worker
from tests.end_to_end.receivers import SECRET
from tests.end_to_end.test_client import POLICY
from tests.redis_servers import Server, free_port, wait_for
from waitcall.adapters.http.api import build_document

SOURCE = ROOT / "clients/typescript"
MODULES = ROOT / ".tools/typescript/node_modules"
GENERATOR = ROOT / ".tools/openapi/node_modules/.bin/openapi-typescript"
PREVIOUS = "whsec_" + "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhl"
WEBHOOKS = """
[clients.web.webhooks.main]
url = "http://127.0.0.1:{port}/hook"
allow_private = true
"""
PROGRAM = """
import { problems, type Verification } from "waitcall";
import { Double } from "waitcall/testing";
const made: Verification = await new Double().client().start({ phoneNumber: "+79991234567", purpose: "login" });
console.log(made.status, problems.NotFound.name);
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="not installed: node"),
    pytest.mark.skipif(not MODULES.is_dir(), reason="not installed: make typescript-tools, with npm"),
]


@dataclass
class Package:
    """Copy of the client in an empty folder, built."""

    directory: Path

    def run(self, *command: str | Path, **environ: str) -> str:
        """Run a command that must succeed, and return its output."""
        done = subprocess.run(
            command, cwd=self.directory, env=os.environ | environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def test(self, *names: str, **environ: str) -> dict[str, int]:
        """Run tests of the client, which must pass, and return the runner's summary."""
        files = [f"build/{name}.test.js" for name in names]
        printed = self.run("node", "--test", "--test-reporter=tap", *files, **environ)
        summary = [line.split() for line in printed.splitlines() if line.startswith("# ")]
        return {words[1]: int(words[2]) for words in summary if len(words) == 3 and words[2].isdigit()}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    directory = tmp_path_factory.mktemp("typescript") / "waitcall"
    shutil.copytree(SOURCE, directory, ignore=shutil.ignore_patterns("node_modules", "dist", "build"))
    (directory / "node_modules").symlink_to(MODULES)
    built = Package(directory)
    for project in (".", "test"):
        built.run(MODULES / ".bin/tsc", "-p", project)
    return built


@pytest.fixture
def service(redis_server: Server, simulator: Simulator, tmp_path: Path) -> Iterator[tuple[Service, int]]:
    """Service and worker, and the port that the worker sends its webhooks to, each signed with two secrets."""
    port = free_port()
    head, limits = POLICY.split("[limits]")
    environ = {
        "WAITCALL_PUBLIC_URL": "https://verify.example.org",
        "WAITCALL_WEBHOOK_SECRETS": f"web/main={PREVIOUS},web/main={SECRET}",
    }
    policy = f"{head}{WEBHOOKS.format(port=port)}[limits]{limits}"
    with ExitStack() as stopping:
        running = launch(tmp_path, redis_server, simulator, environ, policy)
        stopping.callback(running.stop)
        wait_for(lambda: answers(running, "readyz"))
        stopping.callback(launch_worker(running, tmp_path).stop)
        yield running, port


def test_the_clients_own_tests_pass(package: Package) -> None:
    summary = package.test("client", "double", "webhooks")
    assert summary["pass"] >= 30
    assert (summary["fail"], summary["skipped"], summary["todo"]) == (0, 0, 0)


def test_the_client_completes_verifications_at_a_real_service(
    package: Package, service: tuple[Service, int], simulator: Simulator
) -> None:
    running, port = service
    summary = package.test(
        "service",
        WAITCALL_TEST_API=running.api,
        WAITCALL_TEST_KEY=KEY,
        WAITCALL_TEST_SIMULATOR=simulator.control_url,
        WAITCALL_TEST_WEBHOOK_PORT=str(port),
        # Not the first secret of the service, so both ends are in the middle of a rotation.
        WAITCALL_TEST_WEBHOOK_SECRETS=f"whsec_dW5rbm93bnVua25vd251bmtub3du {SECRET}",
    )
    assert summary["pass"] >= 13
    assert (summary["fail"], summary["skipped"], summary["todo"]) == (0, 0, 0)
    assert KEY not in running.log.read_text()


@pytest.mark.skipif(not GENERATOR.exists(), reason="not installed: make openapi-tools, with npm")
def test_its_types_are_those_of_the_document(package: Package) -> None:
    (package.directory / "openapi.json").write_text(json.dumps(build_document("1")))
    package.run(GENERATOR, "openapi.json", "-o", "test/api.d.ts")

    package.run(MODULES / ".bin/tsc", "-p", "test/document.json")


def test_the_package_holds_what_a_user_needs_and_works_where_it_is_installed(
    package: Package, tmp_path: Path
) -> None:
    printed = package.run("npm", "pack", "--json", "--ignore-scripts", "--pack-destination", str(tmp_path))
    (packed,) = json.loads(printed)
    files = {each["path"] for each in packed["files"]}
    modules = {path.stem for path in (SOURCE / "src").glob("*.ts")}
    built = {f"dist/{name}{suffix}" for name in modules for suffix in (".js", ".d.ts")}
    assert files == built | {"package.json", "README.md", "LICENSE"}

    project = tmp_path / "project"
    (project / "node_modules").mkdir(parents=True)
    with tarfile.open(tmp_path / packed["filename"]) as archive:
        archive.extractall(project, filter="data")
    (project / "package").rename(project / "node_modules/waitcall")
    for dependency in ("standardwebhooks", "@stablelib", "fast-sha256"):
        (project / "node_modules" / dependency).symlink_to(MODULES / dependency)
    (project / "index.mts").write_text(PROGRAM)
    installed = Package(project)
    # A user may have the types of a browser, and none of Node.
    options = ["--strict", "--target", "es2022", "--lib", "es2022,dom", "--module", "nodenext"]
    installed.run(MODULES / ".bin/tsc", *options, "index.mts")
    assert installed.run("node", "index.mjs") == "pending NotFound\n"
