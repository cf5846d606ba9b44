"""Prometheus: questions to one, and one on a free port that scrapes a running stack and evaluates the chart's rules."""

import json
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from development.ports import free_port
from development.processes import Processes

RULES = Path(__file__).resolve().parent.parent / "helm/waitcall/rules/waitcall.yaml"
CONFIG = """
global: {{scrape_interval: {every}s, scrape_timeout: {every}s, evaluation_interval: 5s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: waitcall
    static_configs: [{{targets: {targets}}}]
"""
VALUES = dict.fromkeys(("job", "instance", "client", "purpose", "region"), ".*") | {
    "namespace": "",
    "release": "",
}
"""Values that the board's variables have outside of Kubernetes, with "All" chosen."""


@dataclass(frozen=True)
class Series:
    """Series of an answer: its labels, and its values by time."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


class Client:
    """Client of a Prometheus at a URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def now(self, query: str, shown: Mapping[str, str]) -> list[Series]:
        """Return the current value of each series of a query of the board. ``shown``: the variables that Grafana sets."""
        found = self._ask("query", query=filled(query, shown))
        return [_series(each["metric"], [each["value"]]) for each in found]

    def over(
        self, query: str, shown: Mapping[str, str], begin: float, end: float, step: float
    ) -> list[Series]:
        """Return each series of a query of the board from ``begin`` to ``end``."""
        asked = {"start": str(begin), "end": str(end), "step": str(step)}
        found = self._ask("query_range", query=filled(query, shown), **asked)
        return [_series(each["metric"], each["values"]) for each in found]

    def _ask(self, what: str, **asked: str) -> list[dict[str, Any]]:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310  the URL is of a Prometheus of ours
            found: list[dict[str, Any]] = json.load(response)["data"]["result"]
        return found


class Prometheus(Client):
    """Running Prometheus. ``targets``: hosts with ports that have /metrics."""

    def __init__(self, directory: Path, targets: Sequence[str], every: int = 1) -> None:
        super().__init__(f"http://127.0.0.1:{free_port()}")
        self.directory, self.targets, self.every = directory, targets, every
        self.processes = Processes(directory)

    def start(self) -> None:
        """Start it, and wait until it has scraped every target.

        Raises:
            StartFailed: if it does not.
        """
        rules, config = self.directory / "rules.yaml", self.directory / "prometheus.yaml"
        # The interval of the shipped rules is too long for a stack that runs for minutes.
        rules.write_text(RULES.read_text(encoding="utf-8").replace("interval: 30s", "interval: 5s"))
        config.write_text(CONFIG.format(every=self.every, rules=rules, targets=json.dumps(self.targets)))
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.directory / 'data'}"]
        listen = f"--web.listen-address={self.url.removeprefix('http://')}"
        self.processes.start("prometheus", [*command, listen])
        self.processes.wait_until("prometheus", self._has_scraped, 60)

    def close(self) -> None:
        """Stop it."""
        self.processes.stop()

    def _has_scraped(self) -> bool:
        try:
            return len(self.now("up == 1", {})) == len(self.targets)
        except OSError:
            return False


def filled(query: str, shown: Mapping[str, str]) -> str:
    """Fill in the variables of the board."""
    for name, value in (VALUES | dict(shown)).items():
        query = query.replace(f"${name}", value)
    return query


def _series(labels: Mapping[str, str], points: Sequence[tuple[float, str]]) -> Series:
    # NaN is a value that Grafana does not draw.
    return Series(labels, [(at, float(value)) for at, value in points if value != "NaN"])
