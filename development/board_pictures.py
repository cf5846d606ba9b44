"""Pictures of the board, from a real Prometheus that scrapes a stack under simulated load: ``python -m development.board_pictures``.

Grafana does not draw them: development/board_drawing.py draws what the board's queries return.
"""

import argparse
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Protocol

import httpx

from development import board_drawing
from development.board import board
from development.ports import Ports
from development.prometheus import Client, Prometheus, Series
from development.sip_demo import SipCall, SipStack
from development.stack import API_KEY, ROOT

PICTURES = ROOT / "docs/board"
SCRAPE_SECONDS = 2
SHOWN_RATE = "20s"
PEOPLE_PER_SECOND = 2
INCIDENT_SECONDS = 60
OWN = {
    "sip": ("+12025550141", "+12025550142"),
    "twilio": ("+12025550143", "+12025550144"),
    "telnyx": ("+12025550145", "+12025550146"),
}
STRANGER = "127.0.0.9"
"""Source address that the SIP proxy does not know. Every address of 127.0.0.0/8 is this machine's."""
POLICY = """
dial_regions = ["RU", "KZ", "US"]
[purposes.login]
channels = ["call", "code"]
regions = ["RU", "KZ"]
[purposes.password_reset]
on_concurrent = "contest"
[purposes.payment]
min_assurance = "network"
[purposes.contact]
[clients.web]
purposes = ["login", "password_reset", "payment", "contact"]
[clients.operator]
purposes = []
scopes = ["operate"]
[clients.web.webhooks.events]
url = "http://127.0.0.1:{port}/"
allow_private = true
[limits]
number = ["2/h"]
ip = ["20/h record_only"]
[routing]
regions = {{US = ["own"]}}
[own_numbers]
sip = {own[sip]}
twilio = {own[twilio]}
telnyx = {own[telnyx]}
"""

SCAN = (
    "OPTIONS sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.9;branch=z9hG4bK1\r\nFrom: <sip:100@127.0.0.9>;tag=1\r\n"
    "To: <sip:100@127.0.0.1>\r\nCall-ID: scan\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


class Place(Protocol):
    """URLs of a service's two listeners, and of the simulator's control API."""

    @property
    def api(self) -> str: ...
    @property
    def callback(self) -> str: ...
    @property
    def control(self) -> str: ...


@dataclass
class People:
    """People who verify their numbers by call or code. ``dice``: what each of them does."""

    key: ClassVar[str] = API_KEY
    place: Place
    dice: random.Random
    ended: threading.Event

    def __post_init__(self) -> None:
        self._api = httpx.Client(
            base_url=f"{self.place.api}/v1",
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=40,
        )
        self._control = httpx.Client(base_url=self.place.control, timeout=20)
        self._last = 0
        self.verified = 0

    def come(self) -> None:
        """Start people until the end, each in a thread."""
        with ThreadPoolExecutor(200) as pool:
            while not self.ended.wait(self.dice.expovariate(self.rate())):
                self._last += 1
                way = self._pay if self.dice.random() < 0.25 else self._verify  # noqa: PLR2004  a quarter is American
                pool.submit(way, self._number(), self.dice.random(), self.dice.random())
                if self.dice.random() < 0.02:  # noqa: PLR2004  strangers try the doors sometimes
                    pool.submit(self._knock)

    def rate(self) -> float:
        """Return how many people come in a second."""
        return PEOPLE_PER_SECOND

    def call_over_sip(self, number: str, shown: str) -> None:
        """Call a number on the trunk without a signature."""
        self._dial(number, shown)

    def scan(self) -> None:
        """Try the SIP port as scanners do. Without a proxy there is none."""

    def fail(self, kind: str | None) -> None:
        """Have the provider answer every order with an error, or answer them again."""
        always = {"kind": "status", "value": 500} if kind else None
        self._control.post("/faults", json={"steps": [], "always": always}).raise_for_status()

    def _number(self) -> str:
        prefix = "7701" if self.dice.random() < 0.2 else "7999"  # noqa: PLR2004  a fifth is from Kazakhstan
        return f"{prefix}{self._last:07d}"

    def _verify(self, number: str, fate: float, haste: float) -> None:
        purpose = "password_reset" if fate < 0.2 else "login"  # noqa: PLR2004  a fifth resets
        asked = {
            "phone_number": f"+{number}",
            "purpose": purpose,
            "reference": number,
            "client_ip": "192.0.2.1",
        }
        made = self._api.post("/verifications", json=asked)
        if made.status_code != httpx.codes.CREATED:
            return
        if haste < 0.02:  # noqa: PLR2004  somebody else asks for the number, too
            self._api.post("/verifications", json=asked | {"reference": "another"})
        verification = made.json()
        self.ended.wait(3 + 25 * haste**2)
        if fate > 0.95 and purpose == "login":  # noqa: PLR2004  one in twenty types a code instead
            self._type_code(verification["id"], number, haste)
        elif fate < 0.88:  # noqa: PLR2004  the others never call
            lost = haste > 0.97  # noqa: PLR2004  the report of three in a hundred
            self._control.post(
                "/dial", json={"cli": number, "did": verification["call"]["number"], "lose": lost}
            )
        seen = self._api.get(f"/verifications/{verification['id']}", params={"wait": 5}).json()
        if seen["status"] == "verified":
            self.verified += 1
            self._api.post(
                f"/verifications/{verification['id']}/consume", json={"purpose": purpose, "reference": number}
            )

    def _pay(self, number: str, fate: float, haste: float) -> None:
        """Verify an American number by a call to an own number. Half of the purposes demand a signed call."""
        number = f"1212{2_000_000 + int(number[-7:])}"
        purpose = "payment" if haste < 0.5 else "contact"  # noqa: PLR2004  one half each
        asked = {"phone_number": f"+{number}", "purpose": purpose, "reference": number}
        made = self._api.post("/verifications", json=asked)
        if made.status_code != httpx.codes.CREATED:
            return
        verification, shown = made.json(), made.json()["call"]["number"]
        dialect = next(each for each, numbers in OWN.items() if shown in numbers)
        self.ended.wait(3 + 25 * haste**2)
        if fate > 0.97:  # noqa: PLR2004  three in a hundred call the wrong number
            shown = next(each for each in OWN[dialect] if each != shown)
        if dialect == "sip" and purpose == "contact":
            self.call_over_sip(number, shown)
        elif not 0.9 < fate <= 0.97:  # noqa: PLR2004  these never call
            level = ("B", "C", "")[int(fate * 10)] if fate < 0.3 else "A"  # noqa: PLR2004  three in ten are weak
            self._dial(number, shown, level)
        seen = self._api.get(f"/verifications/{verification['id']}", params={"wait": 5}).json()
        if seen["status"] == "verified":
            self.verified += 1
            proof = {"purpose": purpose, "reference": number}
            self._api.post(f"/verifications/{verification['id']}/consume", json=proof)

    def _knock(self) -> None:
        """Send a forged report, and try the SIP port."""
        now = str(int(time.time()))
        forged = {"webhook-id": now, "webhook-timestamp": now, "webhook-signature": "v1,forged"}
        httpx.post(f"{self.place.callback}/callbacks/sip", json={}, headers=forged)
        self.scan()

    def _dial(self, number: str, shown: str, level: str = "") -> None:
        self._control.post("/dial", json={"cli": number, "did": shown, "attestation": level})

    def _type_code(self, verification: str, number: str, haste: float) -> None:
        self._api.post(f"/verifications/{verification}/fallback", json={})
        self.ended.wait(4)
        sent = self._control.get("/messages", params={"phone": number}).json()["messages"]
        code = re.sub(r"\D", "", sent[-1]["text"])[:6] if sent else "000000"
        if haste < 0.3:  # noqa: PLR2004  three in ten type a wrong code first
            self._api.post(
                f"/verifications/{verification}/check", json={"code": f"{(int(code) + 1) % 1_000_000:06}"}
            )
        self._api.post(f"/verifications/{verification}/check", json={"code": code})


class SipPlace(Place, Protocol):
    """Place with a SIP proxy. ``sip``: its host and port."""

    sip: str

    def call(self) -> SipCall: ...


class SipPeople(People):
    """People of a place with a SIP proxy."""

    place: SipPlace

    def call_over_sip(self, number: str, shown: str) -> None:
        """Call with SIPp, which signs no call."""
        self.place.call().perform({"phone": f"+{number}", "number": shown})

    def scan(self) -> None:
        """Send a SIP request from an address that is not the trunk's."""
        host, _, port = self.place.sip.partition(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as scanner:
            scanner.bind((STRANGER, 0))
            scanner.sendto(SCAN.encode(), (host, int(port)))


class Receiver(BaseHTTPRequestHandler):
    """Receiver of webhooks that accepts all."""

    def do_POST(self) -> None:
        """Answer 204."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing."""


class Album:
    """Draws rows of the board with Chromium.

    Attributes:
        prometheus: who answers the queries.
        target: folder of the pictures.
        variables: those of the board that choose an installation; none outside of Kubernetes.
        clock: epoch seconds that the graphs show for real ones.
    """

    def __init__(
        self,
        prometheus: Client,
        begin: float,
        target: Path,
        variables: Mapping[str, str] | None = None,
        clock: Callable[[float], float] = float,
    ) -> None:
        self._prometheus, self._target, self._variables = prometheus, target, variables or {}
        self._clock = clock
        self._begin = self._end = begin
        self._rows: dict[str, list[dict[str, Any]]] = {}
        for panel in board()["panels"]:
            if panel["type"] == "row":
                self._rows[panel["title"]] = []
            else:
                self._rows[list(self._rows)[-1]].append(panel)
        self._first = next(iter(self._rows))

    def tiles(self, name: str) -> None:
        """Draw the first row as it is now."""
        self._end = time.time()
        self._draw(name, self._first, self._now)

    def graphs(self) -> None:
        """Draw all other rows, from the begin until now."""
        self._end = time.time()
        for title in self._rows:
            if title != self._first:
                self._draw(re.split(r"\W", title.lower())[0], title, self._over)

    def _shown(self) -> dict[str, str]:
        span = {"__rate_interval": SHOWN_RATE, "__range": f"{int(self._end - self._begin)}s"}
        return span | dict(self._variables)

    def _now(self, query: str) -> list[Series]:
        return self._prometheus.now(query, self._shown())

    def _over(self, query: str) -> list[Series]:
        found = self._prometheus.over(query, self._shown(), self._begin, self._end, SCRAPE_SECONDS)
        return [
            Series(each.labels, [(self._clock(at), value) for at, value in each.points]) for each in found
        ]

    def _draw(self, name: str, title: str, asked: Callable[[str], list[Series]]) -> None:
        row = self._rows[title]
        panels = [(panel, [asked(target["expr"]) for target in panel["targets"]]) for panel in row]
        page = board_drawing.page(title, panels, (self._clock(self._begin), self._clock(self._end)))
        picture = self._target / f"{name}.png"
        _photograph(page, f"{board_drawing.WIDTH},{board_drawing.height(row)}", picture)
        print(picture.relative_to(ROOT), flush=True)


def _photograph(page: str, size: str, picture: Path) -> None:
    """Draw a page with Chromium."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".html") as source:
        source.write(page)
        source.flush()
        command = [str(_chromium()), "--headless", "--no-sandbox", "--hide-scrollbars"]
        command += [f"--window-size={size}", "--force-device-scale-factor=1.5"]
        command += [f"--screenshot={picture}", Path(source.name).as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def missing() -> list[str]:
    """Return the names of the programs that are not installed."""
    found = {name: shutil.which(name) for name in ("prometheus", "kamailio", "sipp")}
    return [name for name, path in (found | {"chromium": _chromium()}).items() if not path]


def run(minutes: float, target: Path) -> None:
    """Run a stack under load, fail its provider for a minute, and draw the board before, during and after."""
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    with tempfile.TemporaryDirectory(prefix="waitcall-board-") as made:
        directory = Path(made)
        policy = directory / "policy.toml"
        own = {dialect: list(numbers) for dialect, numbers in OWN.items()}
        policy.write_text(POLICY.format(port=receiver.server_port, own=own), encoding="utf-8")
        environ = {
            "WAITCALL_POLICY": str(policy),
            "WAITCALL_WINDOW_SECONDS": "60",
            "WAITCALL_WEBHOOK_SECRETS": f"web/events=whsec_{'QUFB' * 8}",
        }
        with SipStack(Ports.free(), environ) as stack:
            targets = [each.removeprefix("http://") for each in (stack.ops, stack.worker_ops)]
            targets.append(stack.sip_metrics)
            prometheus = Prometheus(directory, targets, SCRAPE_SECONDS)
            try:
                prometheus.start()
                threading.Thread(target=receiver.serve_forever, daemon=True).start()
                _watch(stack, Album(prometheus, time.time(), target), minutes * 60)
            finally:
                prometheus.close()
    receiver.shutdown()


def _watch(stack: SipStack, album: Album, seconds: float) -> None:
    people = SipPeople(stack, random.Random(7), threading.Event())  # noqa: S311  a simulation
    coming = threading.Thread(target=people.come)
    coming.start()
    try:
        time.sleep(seconds * 2 / 3)
        album.tiles("healthy")
        people.fail("status")
        time.sleep(INCIDENT_SECONDS)
        album.tiles("failing")
        people.fail(None)
        time.sleep(max(0.0, seconds / 3 - INCIDENT_SECONDS))
        album.graphs()
    finally:
        people.ended.set()
        coming.join()
        print(f"{people.verified} people were verified.")


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description="Draw the board under simulated load.")
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--target", type=Path, default=PICTURES, help="folder of the pictures")
    asked = parser.parse_args()
    if lost := missing():
        sys.exit(f"Not installed: {', '.join(lost)}.")
    asked.target.mkdir(parents=True, exist_ok=True)
    run(asked.minutes, asked.target.resolve())


if __name__ == "__main__":
    main()
