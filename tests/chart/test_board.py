"""Test every query of the dashboard and of the rules on a real Prometheus that scrapes a running stack."""

import json
import re
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from development.board import BOARD, written
from development.prometheus import RULES, Prometheus
from development.stack import ROOT
from simulator.dialler import Handler
from simulator.server import Options, Simulator
from tests.end_to_end.conftest import (
    SECRET,
    Service,
    Working,
    answers,
    launch,
    launch_worker,
    poll_inbox,
    settle,
)
from tests.own_calls import sip
from tests.redis_servers import Server, free_port, wait_for
from tests.sip.passports import Authority, pem, write
from tests.sip.proxy import STRANGER, Caller, Proxy, missing
from waitcall.adapters.telemetry.metrics import Metrics

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


SHOWN = {"__rate_interval": "2m", "__range": "30m"}


def panels() -> list[dict[str, Any]]:
    return [each for each in json.loads(written())["panels"] if each["type"] != "row"]


def board_queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def rule_selectors() -> list[str]:
    """Return the series that the rules read. A silent alert has no result, so its parts are queried instead."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    texts = [rule["expr"] for group in groups for rule in group["rules"]]
    return sorted({each for text in texts for each in re.findall(r"waitcall[\w:]+(?:\{[^}]*\})?", text)})


def test_the_dashboard_is_the_generated_one() -> None:
    assert BOARD.read_text() == written(), "make board"


def exported() -> set[str]:
    """Return the names of all series: of the service, its worker and the SIP proxy, and those that the rules record."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    collected = list(Metrics("1", [], [], worker=True).registry.collect())
    groups = yaml.safe_load(RULES.read_text())["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    proxy = re.findall(r'"prom_\w+", "name=(\w+)', (ROOT / "sip/kamailio.cfg").read_text())
    ours = {each.name + suffix for each in collected for suffix in suffixes[each.type]}
    return recorded | ours | {f"waitcall_sip_{name}" for name in proxy}


def test_every_query_reads_only_exported_series() -> None:
    asked = {
        name
        for query in [*board_queries(), *rule_selectors()]
        for name in re.findall(r"waitcall[\w:]+", query)
    }
    assert asked
    assert asked - exported() == set()


def test_no_query_needs_to_know_how_many_deployments_there_are() -> None:
    """Only some pods export the series of a surface, so each query must sum over all pods."""
    told_apart = re.compile(r"\b(job|instance|pod|component|deployment)\b")
    groups = yaml.safe_load(RULES.read_text())["groups"]
    rules = [rule["expr"] for group in groups for rule in group["rules"]]
    # The variables select targets, "up" has no other label that says whose it is.
    queries = [each.replace('job=~"$job",instance=~"$instance"', "") for each in board_queries()]
    queries = [each.replace("and on (job)", "") for each in [*queries, *rules]]
    assert len(queries) > 50
    assert [query for query in queries if told_apart.search(query)] == []


def test_every_query_of_the_board_selects_the_installation() -> None:
    release = 'namespace=~"$namespace",app_kubernetes_io_instance=~"$release"'
    scraped = f'{{{release},job=~"$job",instance=~"$instance"'
    for query in board_queries():
        found = re.findall(r"\b(waitcall[_:][\w:]+|up|ALERTS)\b(\{[^}]*\})?", query)
        assert found, query
        for name, selector in found:
            # Alerts and recorded series have no job and no instance. The SIP proxy is a job of its own.
            whole = re.match("ALERTS|waitcall:|waitcall_sip", name)
            assert selector.startswith(f"{{{release}" if whole else scraped), query


def test_every_rule_keeps_the_labels_of_the_installation() -> None:
    labels = "namespace, app_kubernetes_io_instance"
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            grouped = re.findall(r"\b(?:sum|max|min|avg|count|quantile)\b *(\(|by \([^)]*\))", rule["expr"])
            assert all(each.startswith(f"by ({labels}") for each in grouped), rule


class Day:
    """Requests, calls and failures that make every metric of the service count something. ``proxy``: None if it is not installed."""

    def __init__(
        self, service: Service, simulator: Simulator, redis: Server, proxy: Proxy | None = None
    ) -> None:
        self.service, self.simulator, self.redis, self.proxy = service, simulator, redis, proxy
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
        with self.redis.client() as client:
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
        with self.redis.client() as client:
            client.zadd("waitcall:{due-0}:due", {"garbage": 0})

    def go_well(self) -> None:
        number, made = self.begin()
        self.service.call(str(number), int(time.time()))
        self.service.consume(made.json["id"])

    def lose_redis(self) -> None:
        assert self.redis.process is not None
        self.redis.process.send_signal(signal.SIGSTOP)
        assert self.begin()[1].status == 503
        self.redis.process.send_signal(signal.SIGCONT)


@dataclass
class Running:
    """A service and a worker, with the Prometheus that scrapes them."""

    day: Day
    worker: Working
    prometheus: Prometheus

    def colours(self) -> dict[str, str]:
        """Return the colour of each tile; "" if it has no value."""
        found = {}
        for panel in panels():
            if panel["type"] == "stat":
                series = self.prometheus.now(panel["targets"][0]["expr"], SHOWN)
                steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
                value = series[0].points[0][1] if series and series[0].points else None
                found[panel["title"]] = "" if value is None else colour(steps, value)
        return found


def colour(steps: list[dict[str, Any]], value: float) -> str:
    return [each["color"] for each in steps if each["value"] is None or value >= each["value"]][-1]


def started_proxy(folder: Path, service: Service) -> Proxy:
    roots = write(folder, "roots.pem", pem(Authority("root").certificate))
    settings = {
        "WAITCALL_SIP_SECRET": PROXY_SECRET,
        "WAITCALL_SIP_IDENTITY_ROOTS": roots,
        "WAITCALL_SIP_IDENTITY_HOSTS": "127.0.0.1:1",
    }
    return Proxy(folder / "proxy", service.callback, **settings).start()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    callback = free_port()
    handler = Handler(f"http://127.0.0.1:{callback}/callbacks/smsc", SECRET)
    redis = Server("valkey").start()
    with Simulator(Options(handler, calm=True)) as simulator:
        environ = {
            "WAITCALL_INBOX_POLL_SECONDS": "20",
            "WAITCALL_WEBHOOK_SECRETS": WEBHOOK,
            "WAITCALL_SIP_SECRETS": PROXY_SECRET,
        }
        service = launch(tmp_path, redis, simulator, environ, POLICY)
        wait_for(lambda: answers(service, "readyz"))
        worker = launch_worker(service, tmp_path)
        targets = [each.ops.removeprefix("http://") for each in (service, worker)]
        proxy = None if missing() else started_proxy(tmp_path, service)
        targets += [f"127.0.0.1:{proxy.metrics_port}"] if proxy else []
        prometheus = Prometheus(tmp_path, targets)
        prometheus.start()
        yield Running(Day(service, simulator, redis, proxy), worker, prometheus)
        prometheus.close()
        if proxy:
            proxy.stop()
        worker.stop()
        service.stop()
    redis.close()


@pytest.mark.slow
def test_every_tile_of_a_healthy_stack_is_green(running: Running) -> None:
    tiles = [each["title"] for each in panels() if each["type"] == "stat"]

    def all_green() -> bool:
        running.day.go_well()
        return running.colours() == dict.fromkeys(tiles, "green")

    wait_for(all_green, seconds=60)


@pytest.mark.slow
def test_a_failure_turns_its_tiles_red(running: Running) -> None:
    running.day.go_well()
    running.day.lose_redis()
    running.worker.process.kill()
    running.day.simulator.faults.load([], {"kind": "status", "value": 500})
    red = {
        "Creates that succeed (5 min)",
        "Orders that succeed (5 min)",
        "Redis errors (5 min)",
        "Leading workers",
    }

    def are_red() -> bool:
        running.day.begin()
        running.day.lose_redis()
        found = running.colours()
        return all(found[each] == "red" for each in red) and found["Processes that answer"] == "orange"

    wait_for(are_red, seconds=60)


@pytest.mark.slow
def test_every_query_finds_data(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    day = running.day
    # A zero that stands for "nothing happened" is no data.
    queries = [each.replace(" or vector(0)", "") for each in [*board_queries(), *rule_selectors()]]
    if day.proxy is None:
        queries = [each for each in queries if "waitcall_sip" not in each]
    found: dict[str, int] = {}

    def all_found() -> bool:
        day.pass_()
        for query in queries:
            if not found.get(query):
                found[query] = sum(bool(each.points) for each in running.prometheus.now(query, SHOWN))
        return all(found.values())

    try:
        day.pass_()
        day.lose_redis()
        settle()
        with day.redis.client() as client:
            poll_inbox(client)
        day.pass_()
        day.lose_redis()
        wait_for(all_found, seconds=150)
    finally:
        with capsys.disabled():
            lines = [f"{count:>4}  {' '.join(query.split())}" for query, count in found.items()]
            print("", *lines, sep="\n")  # noqa: T201  the table is for the person who runs the test
