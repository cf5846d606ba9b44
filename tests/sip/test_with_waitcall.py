"""Calls over SIP that verify numbers at a running waitcall."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import trustme

from development.stack import ROOT
from simulator.server import Simulator
from tests.end_to_end.conftest import Service, answers, launch, redis_server, simulator  # noqa: F401
from tests.redis_servers import Server, wait_for
from tests.sip.passports import Authority, Signer, Site, pem, serving, write
from tests.sip.proxy import CALLER, Caller, Proxy, needs_kamailio

pytestmark = needs_kamailio

POOL = ["+12025550144", "+12025550145"]
SECRET = "a-secret-of-letters-and-digits-for-the-proxy"
POLICY = f"""
dial_regions = ["US"]
[purposes.login]
[clients.web]
purposes = ["login"]
[limits]
number = []
number_total = []
ip = []
[routing]
default = ["own"]
[own_numbers]
cooldown_seconds = 1200
sip = {POOL}
"""


@dataclass
class Running:
    service: Service
    proxy: Proxy
    carrier: Signer
    forger: Signer

    def create(self) -> tuple[str, str, str]:
        """Create a verification. Return its id, its number, and the other number of the pool."""
        made = self.service.create(CALLER).json
        shown = str(made["call"]["number"])
        (other,) = set(POOL) - {shown}
        return str(made["id"]), shown, other

    def call(self, dialled: str, *headers: str, **changes: str) -> str:
        number = {"uri": f"sip:{dialled}@127.0.0.1", "to": f"<sip:{dialled}@127.0.0.1>"}
        with Caller(self.proxy.port) as caller:
            return caller.call(*headers, **number | changes)

    def signed(self, signer: Signer, dialled: str) -> str:
        return f"Identity: {signer.identity(claims={'dest': {'tn': [dialled[1:]]}})}"

    def assurance(self, verification_id: str) -> str:
        read = self.service.read(verification_id, wait=20).json
        assert read["status"] == "verified"
        return str(read["assurance"])


@pytest.fixture(scope="module")
def running(
    redis_server: Server,  # noqa: F811
    simulator: Simulator,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    folder, tls, site = tmp_path_factory.mktemp("sip"), trustme.CA(), Site()
    root = Authority("root")
    holder, forger = Authority("carrier", root, ca=False), Authority("forger", ca=False)
    site.files = {"/carrier.pem": pem(holder.certificate), "/forger.pem": pem(forger.certificate)}
    service = launch(folder, redis_server, simulator, {"WAITCALL_SIP_SECRETS": SECRET}, POLICY)
    with serving(site, tls):
        proxy = Proxy(
            folder / "proxy",
            service.callback,
            WAITCALL_SIP_SECRET=SECRET,
            WAITCALL_SIP_CALLS_PER_MINUTE="1000",
            WAITCALL_SIP_IDENTITY_ROOTS=write(folder, "roots.pem", pem(root.certificate)),
            WAITCALL_SIP_IDENTITY_HOSTS=f"127.0.0.1:{site.port}",
            SSL_CERT_FILE=write(folder, "tls.pem", tls.cert_pem.bytes()),
        )
        try:
            wait_for(lambda: answers(service, "readyz"))
            yield Running(
                service,
                proxy.start(),
                Signer(site, holder.key, "/carrier.pem"),
                Signer(site, forger.key, "/forger.pem"),
            )
        finally:
            proxy.stop()
            service.stop()


@pytest.fixture(autouse=True)
def fresh(redis_server: Server) -> None:  # noqa: F811
    with redis_server.client() as client:
        client.flushall()


def test_a_call_from_the_right_phone_to_the_shown_number_verifies(running: Running) -> None:
    made, shown, _ = running.create()

    running.call(shown)

    assert running.assurance(made) == "asserted"
    assert running.service.consume(made).status == 200


def test_a_signed_caller_id_gives_the_assurance_of_the_network(running: Running) -> None:
    made, shown, _ = running.create()

    running.call(shown, running.signed(running.carrier, shown))

    assert running.assurance(made) == "network"


def test_a_forged_signature_gives_no_assurance_of_the_network(running: Running) -> None:
    made, shown, _ = running.create()

    running.call(shown, running.signed(running.forger, shown))

    assert running.assurance(made) == "asserted"


def test_a_diverted_call_gives_no_assurance_of_the_network(running: Running) -> None:
    made, shown, _ = running.create()

    running.call(
        shown, running.signed(running.carrier, shown), "Diversion: <sip:+12025550199@carrier.example>"
    )

    assert running.assurance(made) == "asserted"


def test_other_calls_verify_nothing_and_the_proxy_is_done_with_them(running: Running) -> None:
    made, shown, other = running.create()
    refused = running.proxy.metrics()["events_total:refused"]

    running.call(shown, from_="<sip:+12025550124@carrier.example>;tag=1")
    running.call(other)
    running.call(shown, "Privacy: id")
    running.call(shown, from_="<sip:anonymous@anonymous.invalid>;tag=1")
    running.call("+12025550146")
    running.call("a%22b", call_id='x","caller":"' + CALLER)
    running.proxy.settle()

    assert running.service.read(made).json["status"] == "pending"
    assert running.proxy.metrics()["events_total:refused"] == refused


def test_a_call_counts_once_however_often_it_is_sent(running: Running) -> None:
    made, shown, _ = running.create()
    call_id = running.call(shown)
    running.assurance(made)
    running.service.consume(made)

    for _ in range(3):
        running.call(shown, call_id=call_id)
    running.proxy.settle()

    (again, _, _) = running.create()
    assert running.service.read(again).json["status"] == "pending"


def test_a_call_while_waitcall_is_away_verifies_later(running: Running) -> None:
    made, shown, _ = running.create()
    running.service.stop()

    running.call(shown)
    wait_for(lambda: running.proxy.metrics()["queued"] == 1)
    running.service.start_again()
    wait_for(lambda: answers(running.service, "readyz"))

    assert running.assurance(made) == "asserted"


def test_the_demo_verifies_a_number_by_a_call() -> None:
    command = [sys.executable, "-m", "development", "sip-demo"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Verified by a call, and consumed once" in ended.stdout
