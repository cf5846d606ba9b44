"""Test surfaces in separate process trees: where each listens, and a verification that needs two of them."""

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from simulator.server import Simulator
from tests.end_to_end.conftest import POLICY, ROOT, Answered, Service, Starting
from tests.redis_servers import free_port, wait_for
from waitcall.configuration.settings import SURFACES

pytestmark = pytest.mark.slow

ORIGIN = "https://login.example.org"
HOSTED = POLICY.replace(
    'purposes = ["login"]', f'purposes = ["login"]\nhosted = {{return_origins = ["{ORIGIN}"]}}'
)
PAGES = {"WAITCALL_PUBLIC_URL": "https://verify.example.org"}
PATHS = {"api": "/openapi.json", "callback": "/callbacks/smsc", "page": f"/p/{'0' * 56}"}


def listens(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname, parts.port)) == 0


def serves(service: Service, door: str) -> set[str]:
    """Return the surfaces that answer at a listener. The page answers an unknown token with an HTML page."""

    def is_served(name: str, answer: Answered) -> bool:
        return answer.status == 200 or (
            name == "page" and answer.headers["Content-Type"].startswith("text/html")
        )

    return {name for name, path in PATHS.items() if is_served(name, service.ask("GET", door + path))}


@pytest.mark.parametrize(
    ("surfaces", "internal", "public"),
    [
        ("api", {"api"}, None),
        ("callback", None, {"callback", "page"}),
        ("page", None, {"page"}),
        ("callback,page", None, {"callback", "page"}),
        ("api,page", {"api"}, {"page"}),
        ("api,callback", {"api"}, {"callback", "page"}),
    ],
)
def test_a_tree_listens_for_its_surfaces_and_operations_alone(
    starting: Starting, surfaces: str, internal: set[str] | None, public: set[str] | None
) -> None:
    service = starting(policy=HOSTED, callback_port=str(free_port()), WAITCALL_SURFACES=surfaces, **PAGES)

    for door, served in ((service.api, internal), (service.callback, public)):
        assert listens(door) == (served is not None)
        if served is not None:
            assert serves(service, door) == served
            assert service.ask("GET", f"{door}/metrics").status == 404
    assert service.ask("GET", f"{service.ops}/readyz").status == 200
    assert service.ask("GET", f"{service.ops}/metrics").status == 200
    assert serves(service, service.ops) == set()


def test_a_journey_goes_through_both_trees(starting: Starting) -> None:
    api = starting(policy=HOSTED, callback_port=str(free_port()), WAITCALL_SURFACES="api", **PAGES)
    # The public tree needs neither API keys nor a provider account.
    keyless = {"WAITCALL_API_KEYS": "", "WAITCALL_SMSC_APIKEY": "", "WAITCALL_SURFACES": "callback"}
    public = starting(policy=HOSTED, callback_port=str(free_port()), **keyless, **PAGES)
    made = api.create(hosted={"return_url": f"{ORIGIN}/done"}).json
    path = made["hosted_url"].removeprefix("https://verify.example.org")
    page = public.ask("GET", f"{public.callback}{path}")
    assert made["call"]["display"] in page.body.decode()
    told: list[Answered] = []
    poll = threading.Thread(target=lambda: told.append(api.read(made["id"], wait=30)))
    poll.start()

    assert public.call("79991234567", int(time.time())).status == 200

    poll.join(20)
    assert [each.json["status"] for each in told] == ["verified"]
    status = public.ask("GET", f"{public.callback}{path}/status?wait=25")
    assert status.json["status"] == "verified"


@pytest.mark.parametrize("surface", SURFACES)
def test_serve_takes_the_surface_as_an_option(
    starting: Starting, simulator: Simulator, tmp_path: Path, surface: str
) -> None:
    given = starting(policy=HOSTED, callback_port=str(free_port()), **PAGES)
    given.stop()
    environ = given.environ | {"WAITCALL_SURFACES": "api,callback"}
    command = [str(Path(sys.executable).with_name("waitcall")), "serve", "--surface", surface]
    with (tmp_path / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: given.ask("GET", f"{given.ops}/readyz").status == 200)
        assert listens(given.api) == (surface == "api")
        assert listens(given.callback) == (surface != "api")
    finally:
        process.terminate()
        assert process.wait(30) == 0
