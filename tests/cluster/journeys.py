"""People who verify a number, from outside of the cluster: create, a call that the SIP proxy reports, read, consume.

The calls come to our own numbers, so that the cluster needs no provider.
"""

import hashlib
import itertools
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from typing import Any, Self

from development.cluster import places
from tests.cluster.releases import Release
from tests.own_calls import SIP_SECRET, sip
from tests.redis_servers import wait_for

KEY = "wck_a-key-of-these-tests-that-is-long-enough-0123"
SECRETS = {
    "redis-url": "redis://redis:6379/0",
    "api-keys": f"web={hashlib.sha256(KEY.encode()).hexdigest()}",
    "key-pepper": "a-pepper-of-these-tests-0123456789abcdef",
    "sip-secrets": SIP_SECRET,
}
POOL = [f"+7495123{number:04}" for number in range(50)]
POLICY = f"""
dial_regions = ["RU"]
[purposes.login]
[clients.web]
purposes = ["login"]
[limits]
number = []
ip = []
network = []
country = []
global = []
[routing]
default = ["own"]
[own_numbers]
sip = {json.dumps(POOL)}
"""
HERE = [{"ipBlock": {"cidr": f"{places.OUTSIDE}/32"}}]
VALUES: dict[str, Any] = {
    "secret": {
        "existingSecret": "waitcall",
        "keys": {"sipSecrets": "sip-secrets", "smscApikey": "", "callbackSecrets": ""},
    },
    "policy": {"text": POLICY},
    "settings": {"workers": 1},
    "networkPolicy": {"api": [{"podSelector": {}}, *HERE], "callback": HERE},
    # Small requests, so that an upgrade of all Deployments at once fits on a machine with two CPUs.
    "serve": {"resources": {"requests": {"cpu": "20m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}},
    "worker": {"resources": {"requests": {"cpu": "20m", "memory": "96Mi"}, "limits": {"memory": "192Mi"}}},
}
_numbers = itertools.count(79991000000)


def redis(name: str = "redis") -> list[dict[str, Any]]:
    """Return objects of one Valkey without a disk and without a password."""
    labels = {"app": name}
    container = {
        "name": "valkey",
        "image": "valkey/valkey:8",
        "command": ["valkey-server"],
        "args": [
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
            "--protected-mode",
            "no",
            "--dir",
            "/data",
        ],
        "ports": [{"containerPort": 6379}],
        "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
        # Without a share of its own a loaded machine answers 503.
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    security = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    volumes = [{"name": "data", "emptyDir": {}}]
    pod = {"securityContext": security, "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": labels}, "spec": pod | {"containers": [container], "volumes": volumes}}
    spec = {"serviceName": name, "selector": {"matchLabels": labels}, "template": template}
    service = {"selector": labels, "ports": [{"port": 6379}]}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": service},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": spec},
    ]


def prepare(
    release: Release,
    more: dict[str, str] | None = None,
    secret: str = "waitcall",
    server: str = "redis",
) -> None:
    """Make the Secret and the Valkey of a release, which is installed afterwards. ``more``: keys of the Secret."""
    texts = SECRETS | (more or {}) | {"redis-url": f"redis://{server}:6379/0"}
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "stringData": texts}
    objects = {"apiVersion": "v1", "kind": "List", "items": [made, *redis(server)]}
    release.kubectl("apply", "--server-side", "--filename=-", given=json.dumps(objects))
    release.kubectl("rollout", "status", f"statefulset/{server}", "--timeout=180s")


class Visitor:
    """Sends requests to the Services of a release, each on a connection of its own, and none twice."""

    TAKEN = 204
    """Answer to a report of a call that was taken."""

    def __init__(self, release: Release, *, public: bool = True) -> None:
        """``public``: whether the policy of the network lets this machine reach the public Service."""
        services = {each["metadata"]["name"]: each for each in release.read("services")["items"]}
        self.times: list[tuple[float, float]] = []
        """When each request to the API began, and how many seconds it took."""
        self.slowest = 0.0
        """Seconds of the slowest answer, except those of long polls. Before that a request may wait for a ready pod."""
        self.consumed: list[str] = []
        prefix = f"{release.name}-waitcall"
        self._api, self._public = (
            services[f"{prefix}-{name}"]["spec"]["clusterIP"] for name in ("api", "callback")
        )
        # Pods are ready before kube-proxy sends them the connections of their Service.
        for each in (self._api, self._public) if public else (self._api,):
            wait_for(lambda each=each: accepts(each))

    @property
    def api_url(self) -> str:
        return f"http://{self._api}"

    @property
    def public_url(self) -> str:
        return f"http://{self._public}"

    def ask(
        self, method: str, path: str, body: Any = None, key: str = KEY, repeat_by: str = ""
    ) -> tuple[int, Any]:
        """``repeat_by``: the Idempotency-Key."""
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        if repeat_by:
            headers["Idempotency-Key"] = repeat_by
        begun = time.monotonic()
        try:
            return self._sent(
                self._api, method, path, json.dumps(body) if body is not None else None, headers
            )
        finally:
            self.times.append((begun, time.monotonic() - begun))

    def wait(self, verification_id: str, seconds: int) -> Callable[[], tuple[int, Any]]:
        """Begin a long poll. Return what gets its answer."""
        path = f"/v1/verifications/{verification_id}?wait={seconds}"
        return _begun(self._api, "GET", path, None, {"Authorization": f"Bearer {KEY}"})

    def create(self, number: str | None = None, key: str = KEY) -> tuple[int, Any]:
        asked = {"phone_number": number or f"+{next(_numbers)}", "purpose": "login", "reference": "r"}
        return self.ask("POST", "/v1/verifications", asked, key)

    def call(self, caller: str, dialled: str) -> int:
        report = sip(int(time.time()), call_id=f"{caller}@test", caller=caller, dialled=dialled, to=dialled)
        return self._sent(self._public, "POST", "/callbacks/sip", report.body, report.headers)[0]

    def _sent(self, host: str, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        answer = _begun(host, method, path, body, headers)
        began = time.monotonic()
        try:
            return answer()
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)

    def journey(self) -> str:
        """Verify one number. Return ``consumed``, or the step that failed with its answer."""
        status, made = self.create()
        return f"create {status}: {made}" if status != 201 else self.complete(made)

    def complete(self, made: dict[str, Any]) -> str:
        """Call, read and consume what was created. Return ``consumed``, or the step that failed with its answer."""
        called = self.call(made["phone_number"], made["call"]["number"])
        return self.prove(made) if called == self.TAKEN else f"call {called}"

    def prove(self, made: dict[str, Any]) -> str:
        """Read and consume what somebody called for. Return ``consumed``, or the step that failed with its answer."""
        path = f"/v1/verifications/{made['id']}"
        status, read = self.ask("GET", f"{path}?wait=10")
        if status != 200 or read["status"] != "verified":
            return f"read {status}: {read}"
        proven = {"purpose": "login", "reference": "r"}
        status, read = self.ask("POST", f"{path}/consume", proven, repeat_by=made["id"])
        if status != 200:
            return f"consume {status}: {read}"
        self.consumed.append(made["id"])
        return "consumed"


class Persistent(Visitor):
    """A visitor who sends again what may be sent again: reads, consumes under one key, and the proxy's reports.

    Creates are sent once.

    Attributes:
        cut: when the creates began that got no answer.
        repeated: when the other requests began that had to be sent again.
    """

    def __init__(self, release: Release) -> None:
        super().__init__(release)
        self.cut: list[float] = []
        self.repeated: list[float] = []

    def ask(
        self, method: str, path: str, body: Any = None, key: str = KEY, repeat_by: str = ""
    ) -> tuple[int, Any]:
        def once() -> tuple[int, Any]:
            return super(Persistent, self).ask(method, path, body, key, repeat_by)

        if path != "/v1/verifications":
            return self._answered(once)
        begun = time.monotonic()
        try:
            return once()
        except (OSError, HTTPException):
            self.cut.append(begun)
            raise

    def call(self, caller: str, dialled: str) -> int:
        return self._answered(lambda: (super(Persistent, self).call(caller, dialled), None))[0]

    def _answered(self, send: Callable[[], tuple[int, Any]]) -> tuple[int, Any]:
        answers: list[tuple[int, Any]] = []
        begun, tries = time.monotonic(), itertools.count()

        def answered() -> bool:
            first = not next(tries)
            with suppress(OSError, HTTPException):
                status, body = send()
                # A killed process keeps the Idempotency-Key for 30 s.
                if status != 503 and not (status == 409 and body["code"] == "idempotency_in_flight"):
                    answers.append((status, body))
                    return True
            if first:
                self.repeated.append(begun)
            return False

        wait_for(answered)
        return answers[0]


def accepts(host: str) -> bool:
    """Return whether a Service takes a connection.

    Raises:
        OSError: it does not.
    """
    socket.create_connection((host, 80), timeout=5).close()
    return True


def sent(
    host: str, method: str, path: str, body: Any, headers: dict[str, str], port: int = 80
) -> tuple[int, Any]:
    """Send one request on a connection of its own. Return the status and the body."""
    return _begun(host, method, path, body, headers, port)()


def _begun(
    host: str, method: str, path: str, body: Any, headers: dict[str, str], port: int = 80
) -> Callable[[], tuple[int, Any]]:
    """Send a request. Return what reads its answer.

    Raises:
        ConnectionRefusedError: no pod accepts connections. Linux tells one address so about once a second, so it may take 30 s.
    """
    connection = HTTPConnection(host, port, timeout=30)
    try:
        connection.connect()
    except TimeoutError as error:
        raise ConnectionRefusedError("nothing accepted the connection") from error
    try:
        connection.request(method, path, body, headers)
    except OSError:
        connection.close()
        raise

    def answer() -> tuple[int, Any]:
        with closing(connection):
            response = connection.getresponse()
            text = response.read()
        return response.status, json.loads(text) if text.startswith(b"{") else text.decode()

    return answer


class Load:
    """Threads that do the same again and again, and count the results."""

    def __init__(self, act: Callable[[], str], threads: int) -> None:
        self.results: Counter[str] = Counter()
        self._act = act
        self._ended = threading.Event()
        self._counting = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in self._threads:
            each.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                result = self._act()
            except (OSError, HTTPException) as error:
                result = repr(error)
            with self._counting:
                self.results[result] += 1
