"""Test the hosted page from outside of the cluster, through an ingress controller with TLS that reads the chart's Ingress."""

import base64
import hashlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from development.cluster import places
from tests.browser.conftest import CHROMIUM
from tests.cluster.ingress_controller import NAME, Certificate, Door, ingress_controller
from tests.cluster.journeys import POLICY, SECRETS, VALUES, Load, Visitor, redis
from tests.cluster.releases import Release, namespace, wait_until_refused
from tests.own_calls import sip
from tests.redis_servers import wait_for

helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
pytestmark = pytest.mark.slow
HOST = "calls.example.test"
HSTS = "max-age=31536000"
REQUEST_ID = "X-Request-ID"
"""Header of each answer of the service. An answer of the controller alone lacks it."""
FAMILIES = [
    pytest.param(places.NODE, places.OUTSIDE, id="IPv4"),
    pytest.param(places.NODE_IPV6, places.OUTSIDE_IPV6, id="IPv6"),
]
"""Addresses of the node, and of a person who connects to it."""
SECONDS = 180
_references = iter(range(1000))


@dataclass
class Outside:
    """A release that people reach through the ingress controller, and what they know about it."""

    release: Release
    certificate: Certificate
    port: int
    site: str

    def door(self, address: str = places.NODE) -> Door:
        return Door(address, self.port, self.certificate)

    def create(self, number: str) -> dict[str, Any]:
        """Create a verification with a hosted page at the internal API."""
        order = {"phone_number": number, "purpose": "login", "reference": "r"}
        back = {"hosted": {"return_url": f"{self.site}/back"}}
        status, made = Visitor(self.release, public=False).ask("POST", "/v1/verifications", order | back)
        assert status == 201, made
        return dict(made)

    def line(self, answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
        """Return the line in the service's log about the request with this answer."""
        found: list[dict[str, Any]] = []

        def logged() -> bool:
            text = self.release.kubectl("logs", "--selector=app.kubernetes.io/component=public", "--tail=-1")
            lines = [json.loads(each) for each in text.splitlines() if answer.headers[REQUEST_ID] in each]
            found.extend(each for each in lines if each["message"] == "request")
            return bool(found)

        wait_for(logged, seconds=SECONDS)
        return found[0]


@contextmanager
def client_site() -> Iterator[str]:
    """Serve the site of the client, where the hosted page leads back. Yield its origin."""

    class Back(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"Welcome back")

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Back) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def values(site: str) -> dict[str, Any]:
    admitted = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAME}}}
    return VALUES | {
        "policy": {"text": f'{POLICY}[clients.web.hosted]\nreturn_origins = ["{site}"]\n'},
        "settings": VALUES["settings"] | {"publicUrl": f"https://{HOST}", "trustedHops": 1},
        "networkPolicy": VALUES["networkPolicy"] | {"callback": [admitted]},
        "ingress": {
            "enabled": True,
            "className": NAME,
            "hosts": [HOST],
            "tls": [{"secretName": "calls-tls", "hosts": [HOST]}],
            "annotations": {
                "zalando.org/skipper-filter": f'setResponseHeader("Strict-Transport-Security", "{HSTS}")'
            },
        },
        "api": {"replicas": 1},
        "public": {"replicas": 2, "podDisruptionBudget": {"minAvailable": 1}},
        "worker": {"replicas": 1},
    }


@pytest.fixture(scope="module")
def outside(cluster: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    certificate = Certificate(tmp_path_factory.mktemp("certificate"), HOST)
    with namespace("calls"), ingress_controller("calls") as port, client_site() as site:
        release = Release(helm, "calls")
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "waitcall"},
            "stringData": SECRETS,
        }
        objects = {
            "apiVersion": "v1",
            "kind": "List",
            "items": [secret, certificate.secret("calls-tls"), *redis()],
        }
        release.kubectl("apply", "--server-side", "--filename=-", given=json.dumps(objects))
        release.kubectl("rollout", "status", "statefulset/redis", f"--timeout={SECONDS}s")
        release.install(values(site))
        made = Outside(release, certificate, port, site)
        # The controller reads Ingress and Secret every few seconds. Before that the host has neither a certificate nor a path.
        wait_for(lambda: published(made), seconds=SECONDS)
        yield made


def published(outside: Outside) -> bool:
    try:
        return REQUEST_ID in outside.door().send("GET", "/p/unknown").headers
    except urllib3.exceptions.HTTPError:
        return False


def called(door: Door, caller: str, dialled: str, **headers: str) -> urllib3.BaseHTTPResponse:
    """Report a call as the SIP proxy does."""
    call_id = f"{caller}-{next(_references)}@test"
    report = sip(int(time.time()), call_id=call_id, caller=caller, dialled=dialled, to=dialled)
    return door.send("POST", "/callbacks/sip", report.body, report.headers | headers)


@contextmanager
def browser(outside: Outside, address: str) -> Iterator[Any]:
    """Start Chromium, which finds the host at an address of the node and trusts only the certificate's key."""
    playwright = pytest.importorskip("playwright.sync_api", reason="not installed: make browser-tools")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt install chromium)")
    certificate = x509.load_pem_x509_certificate(outside.certificate.path.read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = base64.b64encode(hashlib.sha256(key).digest()).decode()
    where = f"[{address}]" if ":" in address else address
    arguments = [
        "--no-sandbox",
        f"--host-resolver-rules=MAP {HOST} {where}:{outside.port}",
        f"--ignore-certificate-errors-spki-list={pin}",
    ]
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield chromium
        finally:
            chromium.close()


@pytest.mark.parametrize(("address", "_person"), FAMILIES)
def test_a_person_verifies_a_number_on_the_hosted_page(outside: Outside, address: str, _person: str) -> None:
    number = f"+7999555{next(_references):04}"
    made = outside.create(number)
    complaints: list[str] = []
    with browser(outside, address) as chromium:
        page = chromium.new_page(locale="en")
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        shown = page.goto(made["hosted_url"])
        assert urlsplit(page.url)[:2] == ("https", HOST)
        assert shown.headers["strict-transport-security"] == HSTS
        assert page.locator("#copy").get_attribute("value") == made["call"]["number"]
        assert called(outside.door(address), number, made["call"]["number"]).status == 204
        page.locator("main[data-status=verified]").wait_for(state="attached")
        page.wait_for_url(f"{outside.site}/back?*")
        page.get_by_text("Welcome back").wait_for()
        (result,) = parse_qs(urlsplit(page.url).query)["result"]
        assert page.context.cookies(made["hosted_url"]) == []
    assert [each for each in complaints if "favicon" not in each] == []
    proof = {"purpose": "login", "reference": "r", "result": result}
    internal = Visitor(outside.release, public=False)
    status, consumed = internal.ask("POST", f"/v1/verifications/{made['id']}/consume", proof)
    assert (status, consumed["status"]) == (200, "consumed")


@pytest.mark.parametrize(("address", "person"), FAMILIES)
def test_the_service_sees_the_address_of_the_person_and_no_forged_one(
    outside: Outside, address: str, person: str
) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9"}
    answer = called(outside.door(address), "+79995550000", "+74951230000", **forged)
    assert outside.line(answer)["remote"] == person


def test_only_the_paths_of_the_ingress_reach_the_service(outside: Outside) -> None:
    ingress = outside.release.read("ingress", "calls-waitcall-callback")
    (rule,) = ingress["spec"]["rules"]
    assert {each["path"] for each in rule["http"]["paths"]} == {"/callbacks/sip", "/p"}
    door = outside.door()
    for path in ("/callbacks/sip", "/p", "/p/unknown", "/p/unknown/status"):
        assert REQUEST_ID in door.send("GET", path).headers, path
    for path in (
        *("/", "/v1/verifications", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics", "/pages"),
        *("/callbacks", "/callbacks/", "/callbacks/sip/more", "/callbacks/smsc", "/callbacks/twilio"),
    ):
        answer = door.send("GET", path)
        assert (answer.status, REQUEST_ID in answer.headers) == (404, False), path
    for path in ("/p/../v1/verifications", "/p/%2e%2e/v1/verifications", "/p//v1/verifications"):
        assert door.send("GET", path).status == 404, path


def test_another_host_and_plain_http_are_not_served(outside: Outside) -> None:
    door = outside.door()
    answer = door.send("GET", "/p/unknown", headers={"Host": "other.example.test"})
    assert (answer.status, REQUEST_ID in answer.headers) == (404, False)
    unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((door.address, door.port)) as connection,
        pytest.raises(ssl.SSLError),
    ):
        unchecked.wrap_socket(connection, server_hostname="other.example.test")
    plain = HTTPConnection(door.address, door.port, timeout=30)
    plain.request("GET", "/p/unknown", headers={"Host": HOST})
    refused = plain.getresponse()
    assert (refused.status, refused.headers[REQUEST_ID]) == (400, None)
    plain.close()


def test_only_the_controller_reaches_the_public_pods(outside: Outside) -> None:
    for pod in outside.release.pods("public"):
        wait_until_refused(pod["status"]["podIP"], 8081)


def test_a_rollout_of_the_public_pods_fails_no_request_through_the_controller(outside: Outside) -> None:
    page = urlsplit(outside.create("+79995559999")["hosted_url"]).path
    door = outside.door()
    before = {each["metadata"]["name"] for each in outside.release.pods("public")}
    with Load(lambda: str(door.send("GET", page).status), threads=3) as load:
        wait_for(lambda: load.results.total() > 50, seconds=SECONDS)
        outside.release.kubectl("rollout", "restart", "deployment/calls-waitcall-public")
        outside.release.kubectl(
            "rollout", "status", "deployment/calls-waitcall-public", f"--timeout={SECONDS}s"
        )
        # The old pods are gone, too.
        for name in before:
            outside.release.kubectl("wait", "--for=delete", f"pod/{name}", f"--timeout={SECONDS}s")
        seen = load.results.total()
        wait_for(lambda: load.results.total() > seen + 50, seconds=SECONDS)
    assert {*load.results} == {"200"}, load.results
    assert not before & {each["metadata"]["name"] for each in outside.release.pods("public")}
