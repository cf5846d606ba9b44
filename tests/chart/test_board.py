"""Test every query of the dashboard and of the rules on a real Prometheus that scrapes a running stack."""

import json
import re
import shutil
from collections.abc import Iterator
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
from tests.board_day import POLICY, PROXY_SECRET, WEBHOOK, Day, started_proxy
from tests.end_to_end.conftest import (
    SECRET,
    Working,
    answers,
    launch,
    launch_worker,
    poll_inbox,
    settle,
)
from tests.redis_servers import Server, free_port, wait_for
from tests.sip.proxy import missing
from waitcall.adapters.telemetry.metrics import Metrics

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
        proxy = None if missing() else started_proxy(tmp_path, service.callback)
        targets += [f"127.0.0.1:{proxy.metrics_port}"] if proxy else []
        prometheus = Prometheus(tmp_path, targets)
        prometheus.start()
        yield Running(Day(service, simulator, redis.client, proxy), worker, prometheus)
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

    # "Since the last callback" looks at whole minutes, so it may be red for more than one.
    wait_for(all_green, seconds=150)


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
        with day.client() as client:
            poll_inbox(client)
        day.pass_()
        day.lose_redis()
        wait_for(all_found, seconds=150)
    finally:
        with capsys.disabled():
            lines = [f"{count:>4}  {' '.join(query.split())}" for query, count in found.items()]
            print("", *lines, sep="\n")  # noqa: T201  the table is for the person who runs the test
