"""Simulate a day of short hours on the node, and draw the board from it: ``python -m tests.cluster.day``, after ``make cluster``.

Few people come at night, and most in the afternoon. In the morning the provider fails, in the afternoon Redis is lost, and in the evening
a release is rolled out.
"""

import argparse
import hashlib
import math
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

from development import board_pictures
from development.board_pictures import OWN, PICTURES, Album, Receiver, SipPeople
from development.cluster import images, node, places
from development.own_numbers import OwnNumbers, own_numbers_of
from development.sip_demo import ENDED, SipCall
from simulator.own_numbers import Trunk
from tests.cluster.journeys import HERE, KEY, VALUES, Visitor, prepare
from tests.cluster.monitoring import Monitoring, kinds, monitoring
from tests.cluster.provider import APIKEY, Provider, forwarded, front, provider
from tests.cluster.releases import Release, namespace
from tests.sip.proxy import Proxy

NAME = "day"
HOURS = 24
PROVIDER_FAILS, PROVIDER_IS_BACK, REDIS_IS_LOST, REDIS_IS_BACK, ROLL_OUT = 10, 12, 15, 15.7, 19
QUIET, BUSY = 0.5, 4
"""People who come in a second at 4 and at 16 hours."""
SMALL = {"requests": {"cpu": "20m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}
SECRET = "callback-secret-of-the-day"
WEBHOOK = f"web/events=whsec_{'QUFB' * 8}"


@dataclass(frozen=True)
class Clock:
    """Simulated time. ``hour``: its length in seconds."""

    begin: float
    hour: float

    def at(self, seconds: float) -> float:
        """Return the hour of the day at epoch seconds."""
        return (seconds - self.begin) / self.hour

    def wait(self, hour: float) -> None:
        """Wait until an hour of the day."""
        time.sleep(max(0.0, self.begin + hour * self.hour - time.time()))


@dataclass
class Place:
    """URLs that people and the simulated phones use, and the SIP proxy on this machine."""

    api: str
    callback: str
    control: str
    sip: str

    def call(self) -> SipCall:
        """Return the step that calls the number."""
        return SipCall("call", "POST", f"sip:{self.sip}", (486, "call", ENDED))


@dataclass
class Town(SipPeople):
    """People of whom few come at night."""

    key = KEY
    clock: Clock

    def rate(self) -> float:
        """Return how many people come in a second."""
        share = (1 - math.cos((self.clock.at(time.time()) - 4) / HOURS * 2 * math.pi)) / 2
        return QUIET + (BUSY - QUIET) * share


def secrets_of(own: OwnNumbers, authority: str) -> dict[str, str]:
    return {
        "api-keys": f"web={hashlib.sha256(KEY.encode()).hexdigest()}",
        "smsc-apikey": APIKEY,
        "callback-secrets": SECRET,
        "sip-secrets": own.settings["WAITCALL_SIP_SECRETS"],
        "webhook-secrets": WEBHOOK,
        "ca.crt": authority,
    }


def values_of(own: OwnNumbers, found: Provider, policy: str, receiver: int) -> dict[str, Any]:
    given = found.values()
    keys = {
        "sipSecrets": "sip-secrets",
        "webhookSecrets": "webhook-secrets",
        "certificateAuthorities": "ca.crt",
    }
    settings = {
        "windowSeconds": 60,
        "telnyxPublicKeys": [own.settings["WAITCALL_TELNYX_PUBLIC_KEYS"]],
    }
    webhooks = {"extraEgress": [{"ports": [{"port": receiver, "protocol": "TCP"}], "to": HERE}]}
    two = {"replicas": 2}
    worker = two | {"resources": SMALL}
    return VALUES | {
        "metrics": {"serviceMonitor": {"enabled": True}},
        "prometheusRule": {"enabled": True},
        "api": two,
        "public": two,
        "worker": worker,
        "serve": {"resources": SMALL},
        "podDisruptionBudget": {"minAvailable": 1},
        "secret": {"existingSecret": "waitcall", "keys": keys},
        "policy": {"text": policy},
        "settings": VALUES["settings"] | given["settings"] | settings,
        "networkPolicy": VALUES["networkPolicy"] | given["networkPolicy"] | webhooks,
    }


@contextmanager
def receiver() -> Iterator[int]:
    """Accept webhooks on this machine. Yield the port."""
    with ThreadingHTTPServer((places.OUTSIDE, 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


class Day:
    """Release, its provider and its Prometheus, ready for the first people."""

    def __init__(self, stack: ExitStack, helm: ModuleType, directory: Path) -> None:
        port = stack.enter_context(receiver())
        stack.enter_context(kinds())
        stack.enter_context(namespace(NAME))
        self.release = Release(helm, NAME)
        callback = front(self.release)
        # Twilio signs the URL of its webhook, which must have TLS.
        numbers = {dialect: list(each) for dialect, each in OWN.items()} | {"twilio": []}
        text = board_pictures.POLICY.format(port=port, own=numbers)
        policy = directory / "policy.toml"
        policy.write_text(text.replace("http://127.0.0.1:", f"http://{places.OUTSIDE}:"), encoding="utf-8")
        own = own_numbers_of(policy, callback)
        trunks = [Trunk.parse(each) for each in own.options[1::2]]
        found = stack.enter_context(provider(callback, SECRET, own=trunks, deliver_after=1))
        prepare(self.release, secrets_of(own, found.authority))
        self.values = values_of(own, found, policy.read_text(encoding="utf-8"), port)
        self.release.install(self.values)
        secret = own.settings["WAITCALL_SIP_SECRETS"]
        trunk = {"WAITCALL_SIP_SECRET": secret, "WAITCALL_SIP_TRUNK": "127.0.0.1"}
        proxy = Proxy(directory / "sip", callback, **trunk).start()
        stack.callback(proxy.stop)
        metrics = stack.enter_context(forwarded(proxy.metrics_port))
        api, control = Visitor(self.release, public=False).api_url, found.simulator.control_url
        self.place = Place(api, callback, control, f"127.0.0.1:{proxy.port}")
        every, proxies = board_pictures.SCRAPE_SECONDS, {f"{places.OUTSIDE}:{metrics}": self.release}
        self.prometheus: Monitoring = stack.enter_context(
            monitoring([self.release], wait="10s", every=every, proxies=proxies)
        )

    def lose_redis(self, *, back: bool) -> None:
        """End the only Redis, or start an empty one."""
        self.release.kubectl("scale", "statefulset/redis", f"--replicas={int(back)}")

    def roll_out(self) -> None:
        """Replace all pods."""
        turn = {"podAnnotations": {"turn": "2"}}
        serve, worker = self.values["serve"] | turn, self.values["worker"] | turn
        self.release.upgrade(self.values | {"serve": serve, "worker": worker})


def live(day: Day, hour: float, target: Path) -> None:
    """Let the day pass, and draw its pictures."""
    clock = Clock(time.time(), hour)
    variables = {"namespace": NAME, "release": NAME}
    album = Album(day.prometheus, clock.begin, target, variables, lambda at: clock.at(at) * 3600)
    people = Town(day.place, random.Random(7), threading.Event(), clock)
    coming = threading.Thread(target=people.come)
    coming.start()
    try:
        clock.wait(PROVIDER_FAILS)
        album.tiles("healthy")
        people.fail("status")
        clock.wait(PROVIDER_IS_BACK)
        album.tiles("failing")
        people.fail(None)
        clock.wait(REDIS_IS_LOST)
        day.lose_redis(back=False)
        clock.wait(REDIS_IS_BACK)
        day.lose_redis(back=True)
        clock.wait(ROLL_OUT)
        day.roll_out()
        clock.wait(HOURS)
        album.graphs()
    finally:
        people.ended.set()
        coming.join()
        sys.stdout.write(f"{people.verified} people were verified.\n")


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description="Draw the board under a simulated day on the node.")
    parser.add_argument("--minutes", type=float, default=12, help="length of the day")
    parser.add_argument("--target", type=Path, default=PICTURES, help="folder of the pictures")
    asked = parser.parse_args()
    if not node.running():
        sys.exit("No node runs. `make cluster` starts it.")
    if lost := board_pictures.missing():
        sys.exit(f"Not installed: {', '.join(lost)}.")
    import helm_python  # noqa: PLC0415  make chart-tools installs it

    asked.target.mkdir(parents=True, exist_ok=True)
    node.load(images.archive())
    with ExitStack() as stack, tempfile.TemporaryDirectory() as directory:
        day = Day(stack, helm_python, Path(directory))
        live(day, asked.minutes * 60 / HOURS, asked.target.resolve())


if __name__ == "__main__":
    main()
