"""Test the upgrade from the previous release's chart and image to this tree's, and back, under 20 journeys a second."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from development.cluster import previous
from tests.cluster import provider_pod
from tests.cluster.arrivals import Change, under_load
from tests.cluster.journeys import HERE, SECRETS, redis
from tests.cluster.provider_pod import Subscriber
from tests.cluster.releases import CHART, Release, namespace, ready, restarts

helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
pytestmark = pytest.mark.slow
NAME = "upgrade"
SECONDS = 300
POLICY = """
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
"""
DNS = {
    "to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
    "ports": [{"port": 5353, "protocol": protocol} for protocol in ("UDP", "TCP")],
}
"""The port of the node's DNS, which the previous chart does not allow by itself."""
VALUES: dict[str, Any] = {
    "secret": {"existingSecret": "waitcall", "keys": {"certificateAuthorities": "authority"}},
    "policy": {"text": POLICY},
    # Lost calls are not found again, so each callback counts. An order may be slow on a machine that starts ten pods.
    "settings": {
        "workers": 1,
        "smscUrls": [provider_pod.url(NAME)],
        "smscTimeoutSeconds": 20,
        "inboxPollSeconds": 0,
    },
    "networkPolicy": {
        "api": HERE,
        "callback": [{"podSelector": {}}],
        "extraEgress": [*provider_pod.EGRESS, DNS],
    },
    # Small requests, so that old and new pods fit on a machine with two CPUs.
    "serve": {"resources": {"requests": {"cpu": "20m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}},
    "worker": {"replicas": 3, "resources": {"requests": {"cpu": "20m", "memory": "96Mi"}}},
}
OLD_PODS = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=serve"
NEW_PODS = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component in (api,public)"


@pytest.fixture(scope="module")
def old_chart(cluster: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the chart of the previous release. The node has its image."""
    if reason := previous.missing():
        pytest.skip(reason)
    cluster.load(previous.archive())
    directory = tmp_path_factory.mktemp("previous")
    previous.unpack(directory, "helm/waitcall")
    return directory / "helm/waitcall"


@pytest.fixture(scope="module")
def release(old_chart: Path) -> Iterator[Release]:
    """The previous release, installed, with Redis and the simulated provider."""
    with namespace(NAME):
        made = Release(helm, NAME)
        handler = f"http://{NAME}-waitcall-callback/callbacks/smsc"
        simulator, authority = provider_pod.objects(NAME, handler)
        keys = {name: SECRETS[name] for name in ("redis-url", "api-keys", "key-pepper")}
        account = {"smsc-apikey": provider_pod.API_KEY, "callback-secrets": provider_pod.CALLBACK_SECRET}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "waitcall"},
            "stringData": keys | account | {"authority": authority},
        }
        objects = {"apiVersion": "v1", "kind": "List", "items": [secret, *redis(), *simulator]}
        made.kubectl("apply", "--server-side", "--filename=-", given=json.dumps(objects))
        made.kubectl("rollout", "status", "statefulset/redis", f"--timeout={SECONDS}s")
        made.kubectl("wait", "--for=condition=Ready", "pod/simulator", f"--timeout={SECONDS}s")
        made.install(VALUES | {"image": {"repository": "waitcall", "tag": previous.VERSION}}, old_chart)
        yield made


@dataclass(frozen=True)
class Roll:
    """A change of the release under load, what became of verifications from before it, and the pods after it."""

    change: Change
    older: list[str]
    pods: list[dict[str, Any]]


def roll(release: Release, change: Callable[[], None]) -> Roll:
    """Change a release under load. Before it make verifications, of which half are called for, and complete them after it."""
    subscriber = Subscriber(release)
    made = [created for status, created in (subscriber.create() for _ in range(20)) if status == 201]
    for each in made[:10]:
        assert subscriber.call(each["phone_number"], each["call"]["number"]) == 200
    changed = under_load(Subscriber(release), change)
    older = [subscriber.prove(each) for each in made[:10]] + [subscriber.complete(each) for each in made[10:]]
    return Roll(changed, older, release.pods())


@pytest.fixture(scope="module")
def upgraded(release: Release) -> Roll:
    """The upgrade by the commands of the chart's README."""
    return roll(release, lambda: upgrade(release))


def upgrade(release: Release) -> None:
    for program, *words in documented("## Upgrade from the version with one Deployment"):
        if program == "helm":
            release.upgrade(VALUES)
        else:
            release.kubectl(*words)
    release.kubectl("wait", "--for=delete", "pods", "--selector", OLD_PODS, f"--timeout={SECONDS}s")


@pytest.fixture(scope="module")
def rolled_back(release: Release, upgraded: Roll) -> Roll:
    """The way back, by the commands of the chart's README."""
    assert upgraded
    return roll(release, lambda: roll_back(release))


def roll_back(release: Release) -> None:
    for program, *words in documented("### Back to it"):
        if words[:2] == ["get", "manifest"]:
            awk = words[words.index("awk") : words.index("kubectl") - 1]
            chosen = subprocess.run(
                awk, input=release.manifest(1), capture_output=True, text=True, check=True
            )
            release.kubectl("apply", "--filename=-", given=chosen.stdout)
        elif program == "helm":
            release.roll_back(1)
        else:
            release.kubectl(*words)
    release.kubectl("wait", "--for=delete", "pods", "--selector", NEW_PODS, f"--timeout={SECONDS}s")


def documented(heading: str) -> Iterator[list[str]]:
    """Yield the words of each command below a heading of the chart's README, for this release."""
    section = (CHART / "README.md").read_text(encoding="utf-8").partition(f"\n{heading}\n")[2]
    found = re.search(r"^```sh\n(.*?)```", section, re.MULTILINE | re.DOTALL)
    assert found
    for line in found[1].splitlines():
        words = shlex.split(line.replace("instance=waitcall,", f"instance={NAME},"))
        yield [re.sub(r"^(\w+)/waitcall$", rf"\1/{NAME}-waitcall", each) for each in words]


def told(capsys: pytest.CaptureFixture[str], title: str, change: Change) -> None:
    with capsys.disabled():
        print(f"\n{title}: {change.table()}")  # noqa: T201  figures


def test_the_upgrade_fails_and_loses_no_journey(upgraded: Roll, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, f"Upgrade from {previous.VERSION}", upgraded.change)
    assert upgraded.change.results == {"consumed": upgraded.change.started}


def test_the_upgrade_ends_with_the_pods_of_this_release_and_none_was_restarted(upgraded: Roll) -> None:
    components = [each["metadata"]["labels"]["app.kubernetes.io/component"] for each in upgraded.pods]
    assert sorted(components) == ["api"] * 3 + ["public"] * 3 + ["worker"] * 3
    assert all(ready(each) for each in upgraded.pods)
    assert restarts(upgraded.pods) == 0


def test_verifications_of_the_previous_release_are_completed_by_this_one(upgraded: Roll) -> None:
    assert upgraded.older == ["consumed"] * 20


def test_the_way_back_fails_and_loses_no_journey(
    rolled_back: Roll, capsys: pytest.CaptureFixture[str]
) -> None:
    told(capsys, f"Back to {previous.VERSION}", rolled_back.change)
    assert rolled_back.change.results == {"consumed": rolled_back.change.started}


def test_verifications_of_this_release_are_completed_by_the_previous_one(rolled_back: Roll) -> None:
    components = [each["metadata"]["labels"]["app.kubernetes.io/component"] for each in rolled_back.pods]
    assert sorted(components) == ["serve"] * 3 + ["worker"] * 3
    assert rolled_back.older == ["consumed"] * 20
