"""Test every query of the dashboard and of the rules on a real Prometheus that scrapes a running stack."""

import json
import re
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from development.board import BOARD, ROWS, written
from simulator.dialler import Handler
from simulator.server import Options, Simulator
from tests.end_to_end.conftest import SECRET, Service, answers, launch, launch_worker, poll_inbox, settle
from tests.redis_servers import Server, free_port, wait_for
from waitcall.adapters.telemetry.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "helm/waitcall/rules/waitcall.yaml"
WEBHOOK = "web/away=whsec_" + "QUFB" * 8
POLICY = """
dial_regions = ["RU"]
[purposes.login]
[purposes.signup]
result_seconds = 1
[purposes.reset]
on_concurrent = "contest"
[purposes.coded]
channels = ["call", "code"]
[clients.web]
purposes = ["login", "signup", "reset", "coded"]
[clients.web.webhooks.away]
url = "http://127.0.0.1:9/"
allow_private = true
[limits]
number = ["2/10m"]
ip = ["1/h record_only"]
[conversion.country]
mode = "record_only"
floor = 1
max_uncalled_share = 0.1
"""


def board_queries() -> list[str]:
    panels = json.loads(BOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def rule_selectors() -> list[str]:
    """Return the series that the rules read. A silent alert has no result, so its parts are queried instead."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    texts = [rule["expr"] for group in groups for rule in group["rules"]]
    found = {each for text in texts for each in re.findall(r"waitcall[\w:]+(?:\{[^}]*\})?", text)}
    return sorted(found)


def test_the_dashboard_is_the_generated_one_and_has_its_rows() -> None:
    assert BOARD.read_text() == written(), "python -m development.board"
    assert list(ROWS) == [
        *("Funnel", "Conversion and time to call", "Provider", "Codes"),
        *("Callbacks", "Abuse", "Callers", "Service"),
    ]
    for panel in json.loads(written())["panels"]:
        for link in panel.get("links", []):
            assert (ROOT / link["url"]).is_file()


def exported() -> set[str]:
    """Return the names of all series: those of the service and its worker, and those that the rules record."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    collected = list(Metrics("1", [], [], worker=True).registry.collect())
    groups = yaml.safe_load(RULES.read_text())["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    return recorded | {each.name + suffix for each in collected for suffix in suffixes[each.type]}


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
    queries = [*board_queries(), *rules]
    assert len(queries) > 50
    assert [query for query in queries if told_apart.search(query)] == []


def test_every_query_of_the_board_selects_the_installation() -> None:
    for query in board_queries():
        series = re.findall(r"waitcall_[a-z_]+(\{[^}]*\})?", query)
        assert series, query
        for selector in series:
            assert selector.startswith('{namespace=~"$namespace",app_kubernetes_io_instance=~"$release"'), (
                query
            )


def test_every_rule_keeps_the_labels_of_the_installation() -> None:
    labels = "namespace, app_kubernetes_io_instance"
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            grouped = re.findall(r"\b(?:sum|max|min|avg|count|quantile)\b *(\(|by \([^)]*\))", rule["expr"])
            assert all(each.startswith(f"by ({labels}") for each in grouped), rule


class Prometheus:
    def __init__(self, directory: Path, targets: list[str]) -> None:
        self.port = free_port()
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "5s"},
            "rule_files": [str(directory / "rules.yaml")],
            "scrape_configs": [{"job_name": "waitcall", "static_configs": [{"targets": targets}]}],
        }
        # The interval of the shipped rules is too long for a test.
        (directory / "rules.yaml").write_text(RULES.read_text().replace("interval: 30s", "interval: 5s"))
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={directory / 'prometheus.yaml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: self.series("up") == len(targets), seconds=60)

    def series(self, query: str) -> int:
        """Return the number of series of the result whose value is not NaN."""
        for name, value in {
            "$__rate_interval": "2m",
            "$namespace": "",
            "$release": "",
            "$client": ".*",
            "$purpose": ".*",
            "$region": ".*",
        }.items():
            query = query.replace(name, value)
        url = f"http://127.0.0.1:{self.port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(url, timeout=10) as response:
            result = json.load(response)["data"]["result"]
        return sum(each["value"][1] != "NaN" for each in result)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Day:
    """Requests, calls and failures that make every metric of the service count something."""

    def __init__(self, service: Service, simulator: Simulator, redis: Server) -> None:
        self.service, self.simulator, self.redis = service, simulator, redis
        self.numbers = iter(range(7999500_0000, 7999501_0000))

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
        for _ in range(3):
            _, made = self.begin(number=79995020000)
            if made.status == 201:
                self.service.ask("DELETE", f"{self.service.api}/v1/verifications/{made.json['id']}")
        self.simulator.faults.load([{"kind": "status", "value": 500}] * 4, None)
        self.begin()
        self.simulator.faults.load([], None)
        self.service.ask(
            "GET", f"{self.service.callback}/callbacks/smsc?waitcall=1&phone=1&ts=1&sha1={'0' * 40}"
        )
        number, made = self.begin()
        order = json.dumps({"cli": str(number), "did": made.json["call"]["number"], "lose": True}).encode()
        request = urllib.request.Request(
            f"{self.simulator.control_url}/dial", data=order, headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()
        self.begin()
        self.type_a_code()
        self.let_expire()

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

    def lose_redis(self) -> None:
        assert self.redis.process is not None
        self.redis.process.send_signal(signal.SIGSTOP)
        assert self.begin()[1].status == 503
        self.redis.process.send_signal(signal.SIGCONT)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[tuple[Day, list[str]]]:
    callback = free_port()
    handler = Handler(f"http://127.0.0.1:{callback}/callbacks/smsc", SECRET)
    redis = Server("valkey").start()
    with Simulator(Options(handler, calm=True)) as simulator:
        environ = {"WAITCALL_INBOX_POLL_SECONDS": "20", "WAITCALL_WEBHOOK_SECRETS": WEBHOOK}
        service = launch(tmp_path, redis, simulator, environ, POLICY)
        wait_for(lambda: answers(service, "readyz"))
        worker = launch_worker(service, tmp_path)
        yield (
            Day(service, simulator, redis),
            [service.ops.removeprefix("http://"), worker.ops.removeprefix("http://")],
        )
        worker.stop()
        service.stop()
    redis.close()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_every_query_finds_data(
    stack: tuple[Day, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    day, targets = stack
    prometheus = Prometheus(tmp_path, targets)
    queries = [*board_queries(), *rule_selectors()]
    found: dict[str, int] = {}

    def all_found() -> bool:
        day.pass_()
        for query in queries:
            if not found.get(query):
                found[query] = prometheus.series(query)
        return all(found.values())

    try:
        day.pass_()
        day.lose_redis()
        settle()
        with day.redis.client() as client:
            poll_inbox(client)
        wait_for(all_found, seconds=150)
    finally:
        prometheus.close()
        with capsys.disabled():
            lines = [f"{count:>4}  {' '.join(query.split())}" for query, count in found.items()]
            print("", *lines, sep="\n")  # noqa: T201  the table is for the person who runs the test
