"""Test what kube-score says about the objects that the chart renders."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.chart.test_chart import ROOT, example, render, values_of, yaml

KUBE_SCORE = ROOT / ".tools/bin/kube-score"
ACCEPTED = {
    "container-resources": "there is no CPU limit, because a throttled pod answers late",
    "container-ephemeral-storage-request-and-limit": "the root filesystem is read-only and /tmp is limited memory",
    "container-image-pull-policy": "an image is named by its version or its digest, which do not change",
    "deployment-has-host-podantiaffinity": "spread constraints place the pods",
    "deployment-replicas": "the demo and the test have one pod of each",
    "pod-probes-identical": "the simulator and the demo's Valkey have only a port to ask",
}
"""Checks that the chart does not pass on purpose, with the reason. CPU and memory are in one check; test_chart.py has memory."""
# The pod of `helm test` lives for seconds and listens on nothing.
WITHOUT_POLICY = {"rel-waitcall-test", "rel-calls-test"}


@pytest.mark.skipif(not KUBE_SCORE.exists(), reason="kube-score is not built: make chart-tools, with Go")
@example
def test_kube_score_finds_nothing_but_what_is_meant(path: Path) -> None:
    ignored = [part for name in ACCEPTED for part in ("--ignore-test", name)]
    ran = subprocess.run(
        [str(KUBE_SCORE), "score", "-", "-o", "json", "--kubernetes-version", "v1.33", *ignored],
        input=yaml.safe_dump_all(render(values_of(path))),
        capture_output=True,
        text=True,
        check=False,
    )
    objects = json.loads(ran.stdout)
    assert len(objects) > 8
    found = [
        (each["object_name"].rpartition("/")[2], check["check"]["id"], comment["summary"])
        for each in objects
        for check in each["checks"]
        for comment in check["comments"] or []
        if check["grade"] < 10 and not check["skipped"]
    ]
    policy = {(name, "pod-networkpolicy") for name in WITHOUT_POLICY}
    assert [each for each in found if each[:2] not in policy] == []
