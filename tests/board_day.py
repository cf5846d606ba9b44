"""A day of requests, calls and failures that makes every metric of the service count something."""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis

from simulator.server import Simulator
from tests.end_to_end.conftest import Service
from tests.own_calls import sip
from tests.sip.passports import Authority, pem, write
from tests.sip.proxy import STRANGER, Caller, Proxy

WEBHOOK = "web/away=whsec_" + "QUFB" * 8
PROXY_SECRET = "a-secret-of-letters-and-digits-for-the-proxy"
OWN = ["+12025550144", "+12025550145"]
POLICY = f"""
dial_regions = ["RU", "US"]
[purposes.login]
[purposes.signup]
result_seconds = 1
[purposes.reset]
on_concurrent = "contest"
[purposes.coded]
channels = ["call", "code"]
[purposes.strict]
min_assurance = "network"
[clients.web]
purposes = ["login", "signup", "reset", "coded", "strict"]
[clients.web.webhooks.away]
url = "http://127.0.0.1:9/"
allow_private = true
[limits]
number = ["3/10m"]
ip = ["1/h record_only"]
[conversion.country]
mode = "record_only"
floor = 1
max_uncalled_share = 0.1
settle_seconds = 0
[routing]
regions = {{US = ["own"]}}
[own_numbers]
sip = {OWN}
"""

LOST_MILLISECONDS = 4000
"""Longer than the service waits for Redis."""


class Day:
    """Requests, calls and failures that make every metric of the service count something. ``proxy``: None if it is not installed."""

    def __init__(
        self,
        service: Service,
        simulator: Simulator,
        client: Callable[[], Redis],
        proxy: Proxy | None = None,
    ) -> None:
        self.service, self.simulator, self.client, self.proxy = service, simulator, client, proxy
        self.numbers = iter(range(7999500_0000, 7999501_0000))
        self.own = iter(range(1212556_0000, 1212556_9999))

    def begin(self, purpose: str = "login", number: int | None = None, **fields: Any) -> Any:
        number = number or next(self.numbers)
        return number, self.service.create(f"+{number}", purpose=purpose, **fields)

    def pass_(self) -> None:
        now = int(time.time())
        number, made = self.begin(client_ip="192.0.2.1")
        self.service.call(str(number), now)
        self.service.call(str(number), now)
        self.service.consume(made.json["id"])
        self.service.consume(made.json["id"])
        number, _ = self.begin("signup")
        self.service.call(str(number), now)
        number, made = self.begin()
        self.service.ask("DELETE", f"{self.service.api}/v1/verifications/{made.json['id']}")
        number, _ = self.begin("reset")
        self.begin("reset", number, reference="another")
        for number in (79995020000, next(self.own)):
            # The limit refuses the fourth, or the pool of two is used up by then.
            for _ in range(4):
                _, made = self.begin(number=number)
                if made.status == 201:
                    self.service.ask("DELETE", f"{self.service.api}/v1/verifications/{made.json['id']}")
        self.simulator.faults.load([{"kind": "status", "value": 500}] * 4, None)
        self.begin()
        self.simulator.faults.load([], None)
        self.service.ask(
            "GET", f"{self.service.callback}/callbacks/smsc?waitcall=1&phone=1&ts=1&sha1={'0' * 40}"
        )
        self.leave_garbage()
        number, made = self.begin()
        order = json.dumps({"cli": str(number), "did": made.json["call"]["number"], "lose": True}).encode()
        request = urllib.request.Request(
            f"{self.simulator.control_url}/dial", data=order, headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()
        self.begin()
        self.type_a_code()
        self.call_own_numbers()
        self.let_expire()

    def call_own_numbers(self) -> None:
        """Call a wrong number, the right one without a signature, and the right one with a signature. Then forge a report."""
        number, made = self.begin("strict", next(self.own))
        shown = made.json["call"]["number"]
        (other,) = set(OWN) - {shown}
        for dialled, attestation in ((other, ""), (shown, "B"), (shown, "A")):
            self.report(str(number), dialled, attestation, PROXY_SECRET)
        self.report(str(number), shown, "A", "a-secret-that-the-service-does-not-know")
        if self.proxy is None:
            return
        with Caller(self.proxy.port) as caller, Caller(self.proxy.port, STRANGER) as stranger:
            caller.call("Identity: unreadable", uri=f"sip:{shown}@127.0.0.1", to=f"<sip:{shown}@127.0.0.1>")
            stranger.send(stranger.invite())

    def report(self, number: str, dialled: str, attestation: str, secret: str) -> None:
        """Report a call as the SIP proxy does."""
        call = {"call_id": f"{number}-{dialled}-{attestation}", "caller": f"+{number}", "dialled": dialled}
        told = sip(int(time.time()), secret, to=dialled, attestation=attestation, **call)
        url = f"{self.service.callback}/callbacks/sip"
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(urllib.request.Request(url, told.body, told.headers), timeout=10).close()

    def type_a_code(self) -> None:
        """Check a code. Its first delivery report is a failure, and the first code typed is wrong."""
        _, made = self.begin("coded")
        url = f"{self.service.api}/v1/verifications/{made.json['id']}"
        self.service.ask("POST", f"{url}/fallback", {})
        sent = self.simulator.office.sent[-1]
        for status in (20, 1):
            self.simulator.deliver(sent, status)
        code = re.sub(r"[^0-9]", "", sent.text)
        for typed in (f"{(int(code) + 1) % 1000000:06}", code):
            self.service.ask("POST", f"{url}/check", {"code": typed})

    def let_expire(self) -> None:
        """Make all pending verifications expire, except those for login."""
        with self.client() as client:
            for key in client.scan_iter("waitcall:*:v:*"):
                document = json.loads(client.get(key))
                if document["status"] in ("pending", "contested") and document["purpose"] != "login":
                    document["expires_at"] -= 1000
                    client.set(key, json.dumps(document, separators=(",", ":")), keepttl=True)
            for part in range(8):
                for member in client.zrange(f"waitcall:{{due-{part}}}:due", 0, -1):
                    client.zadd(f"waitcall:{{due-{part}}}:due", {member: 0})

    def leave_garbage(self) -> None:
        """Put a deadline into Redis that cannot be read."""
        with self.client() as client:
            client.zadd("waitcall:{due-0}:due", {"garbage": 0})

    def go_well(self) -> None:
        number, made = self.begin()
        self.service.call(str(number), int(time.time()))
        self.service.consume(made.json["id"])

    def lose_redis(self) -> None:
        """Have Redis answer nobody for some seconds, and create a verification meanwhile."""
        with self.client() as client:
            client.client_pause(LOST_MILLISECONDS)
            assert self.begin()[1].status == 503
            client.ping()


def started_proxy(folder: Path, callback: str) -> Proxy:
    """Start the SIP proxy of a day. ``callback``: URL of the service's public listener."""
    roots = write(folder, "roots.pem", pem(Authority("root").certificate))
    settings = {
        "WAITCALL_SIP_SECRET": PROXY_SECRET,
        "WAITCALL_SIP_IDENTITY_ROOTS": roots,
        "WAITCALL_SIP_IDENTITY_HOSTS": "127.0.0.1:1",
    }
    return Proxy(folder / "proxy", callback, **settings).start()
