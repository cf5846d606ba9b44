"""Test that a Prometheus in the cluster finds the pods of each release by its monitors, fills the board, and keeps alerts apart."""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from redis import Redis

from development.cluster import places
from tests.board_day import POLICY, PROXY_SECRET, WEBHOOK, Day, started_proxy
from tests.chart.test_board import SHOWN, board_queries
from tests.cluster.journeys import VALUES, Load, Visitor, prepare
from tests.cluster.monitoring import Monitoring, kinds, monitoring
from tests.cluster.provider import APIKEY, Provider, forwarded, front, provider
from tests.cluster.releases import Release, namespace
from tests.end_to_end.conftest import KEY, SECRET, Service, poll_inbox, settle
from tests.redis_servers import wait_for
from tests.sip.proxy import Proxy, missing

helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
pytestmark = pytest.mark.slow
SECONDS = 240
# Small requests, so that three releases fit on a node with two CPUs.
SMALL = {"requests": {"cpu": "20m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}
MONITORED: dict[str, Any] = {
    "metrics": {"serviceMonitor": {"enabled": True}},
    "prometheusRule": {"enabled": True},
    "api": {"replicas": 2},
    "public": {"replicas": 1},
    "worker": {"replicas": 1, "resources": SMALL},
    "serve": {"resources": SMALL},
    "podDisruptionBudget": {"enabled": False},
}


@dataclass
class Observed:
    """Three releases, two of them in one namespace, and the Prometheus that scrapes them.

    ``full`` is the one with a provider. It has the SIP proxy too, which runs on this machine if it is installed.
    """

    full: Release
    beside: Release
    elsewhere: Release
    prometheus: Monitoring
    provider: Provider
    proxy: Proxy | None

    @property
    def releases(self) -> tuple[Release, ...]:
        return self.full, self.beside, self.elsewhere


def install_full(release: Release, found: Provider) -> None:
    """Install a release with the simulated provider, own numbers, codes and webhooks."""
    secrets = {
        "api-keys": f"web={hashlib.sha256(KEY.encode()).hexdigest()}",
        "smsc-apikey": APIKEY,
        "callback-secrets": SECRET,
        "sip-secrets": PROXY_SECRET,
        "webhook-secrets": WEBHOOK,
        "ca.crt": found.authority,
    }
    prepare(release, secrets, release.name, f"{release.name}-redis")
    given = found.values()
    keys = {
        "sipSecrets": "sip-secrets",
        "webhookSecrets": "webhook-secrets",
        "certificateAuthorities": "ca.crt",
    }
    more = {
        "secret": {"existingSecret": release.name, "keys": keys},
        "policy": {"text": POLICY},
        "settings": VALUES["settings"] | given["settings"] | {"inboxPollSeconds": 20},
        "networkPolicy": VALUES["networkPolicy"] | given["networkPolicy"],
    }
    release.install(VALUES | MONITORED | more)


def install_small(release: Release) -> None:
    prepare(release, None, release.name, f"{release.name}-redis")
    secret = VALUES["secret"] | {"existingSecret": release.name}
    release.install(VALUES | MONITORED | {"secret": secret, "api": {"replicas": 1}})


@pytest.fixture(scope="module")
def observed(cluster: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed: make cluster-tools")
    with ExitStack() as stack:
        stack.enter_context(kinds())
        for name in ("observed", "observed-too"):
            stack.enter_context(namespace(name))
        releases = [
            Release(helm, name, space)
            for name, space in (("full", "observed"), ("beside", "observed"), ("full", "observed-too"))
        ]
        callback = front(releases[0])
        found = stack.enter_context(provider(callback, SECRET))
        install_full(releases[0], found)
        for each in releases[1:]:
            install_small(each)
        proxy, proxies = None, {}
        if not missing():
            proxy = started_proxy(tmp_path_factory.mktemp("sip"), callback)
            stack.callback(proxy.stop)
            port = stack.enter_context(forwarded(proxy.metrics_port))
            proxies = {f"{places.OUTSIDE}:{port}": releases[0]}
        prometheus = stack.enter_context(monitoring(releases, wait="10s", proxies=proxies))
        yield Observed(*releases, prometheus, found, proxy)


def pods(release: Release) -> set[tuple[str, str]]:
    return {(release.namespace, each["metadata"]["name"]) for each in release.pods()}


def test_every_pod_of_every_release_is_scraped_and_no_other(observed: Observed) -> None:
    wanted = {pod: "up" for each in observed.releases for pod in pods(each)}
    assert len(wanted) == 4 + 3 + 3
    wait_for(lambda: observed.prometheus.targets() == wanted, seconds=SECONDS)


def test_a_pod_has_the_labels_by_which_rules_and_board_tell_releases_apart(observed: Observed) -> None:
    def found() -> list[tuple[str, ...]]:
        names = ("namespace", "app_kubernetes_io_instance", "app_kubernetes_io_component")
        series = observed.prometheus.now("waitcall_build_info", {})
        return sorted(tuple(each.labels[name] for name in names) for each in series)

    wanted = sorted(
        (each.namespace, each.name, component)
        for each in observed.releases
        for component in ("api", "public", "worker", *(["api"] if each is observed.full else []))
    )
    wait_for(lambda: found() == wanted, seconds=SECONDS)


def test_a_release_that_loses_its_redis_has_alerts_and_no_other_release_has_any(observed: Observed) -> None:
    """One of the others shares its namespace, and the other has the name of a third."""
    prometheus, broken = observed.prometheus, observed.beside

    def whose() -> set[tuple[str | None, ...]]:
        names = ("namespace", "app_kubernetes_io_instance", "alertname")
        return {tuple(each.get(name) for name in names) for each in prometheus.firing()}

    visitor = Visitor(observed.elsewhere)
    lost = (broken.namespace, broken.name, "WaitcallStoreFailing")
    wait_for(lambda: prometheus.loaded() > 0 and not whose(), seconds=SECONDS)
    broken.kubectl("scale", f"statefulset/{broken.name}-redis", "--replicas=0")
    with Load(visitor.journey, threads=1) as load:
        wait_for(lambda: lost in whose(), seconds=SECONDS)
        seen = load.results.total()
        wait_for(lambda: load.results.total() > seen + 20, seconds=SECONDS)
    told = whose()
    broken.kubectl("scale", f"statefulset/{broken.name}-redis", "--replicas=1")
    assert {each[:2] for each in told} == {lost[:2]}, told
    assert {*load.results} == {"consumed"}, load.results


def test_every_query_of_the_board_finds_data_of_the_release_that_it_shows(
    observed: Observed, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    release, visitor = observed.full, Visitor(observed.full)
    shown = SHOWN | {"namespace": release.namespace, "release": release.name}

    def client() -> Redis:
        (pod,) = release.read("pods", f"--selector=app={release.name}-redis")["items"]
        return Redis(host=pod["status"]["podIP"], socket_timeout=8)

    urls = (visitor.api_url, visitor.public_url, "")
    service = Service(None, tmp_path, *urls)  # type: ignore[arg-type]  # Kubernetes owns the processes
    day = Day(service, observed.provider.simulator, client, observed.proxy)
    # A zero that stands for "nothing happened" is no data.
    queries = [each.replace(" or vector(0)", "") for each in board_queries()]
    if day.proxy is None:
        queries = [each for each in queries if "waitcall_sip" not in each]
    found: dict[str, int] = {}

    def all_found() -> bool:
        day.pass_()
        # A counter that is new counts only from its second failure on.
        day.lose_redis()
        for query in queries:
            if not found.get(query):
                found[query] = sum(bool(each.points) for each in observed.prometheus.now(query, shown))
        return all(found.values())

    try:
        day.pass_()
        day.lose_redis()
        settle()
        with client() as redis:
            poll_inbox(redis)
        wait_for(all_found, seconds=SECONDS)
    finally:
        with capsys.disabled():
            print(f"\n{sum(map(bool, found.values()))} of {len(set(queries))} queries found data.")  # noqa: T201  the count is a figure of the report
            print(*(query for query, count in found.items() if not count), sep="\n")  # noqa: T201  their texts are the figure's details
