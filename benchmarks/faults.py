"""Measure one process while the provider hangs, and while one of three Redis masters hangs.

The simulation (development/sizing) must come to the same counts, and takes the length of a step at a hanging master from here.
"""

import re
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import gevent

from benchmarks.costs import Deployment, deployment
from benchmarks.load import Ask, Connection, percentile
from development.ports import Ports
from development.stack import development_settings
from tests.redis_servers import Cluster
from waitcall.adapters.redis.keys import Keys

Answer = tuple[float, int, float]
"""Second at which a request was sent, the status of its answer, and seconds until the answer."""


def measure(per_second: int, seconds: int) -> dict[str, Any]:
    """Measure both faults, each for ``seconds``, at ``per_second`` requests a second."""
    with deployment() as deployed:
        provider = _provider_hangs(deployed, per_second, seconds)
    # The other masters must not give the hanging one up, because without replicas the whole cluster would be down.
    with (
        closing(Cluster("valkey", node_timeout_ms=60_000)) as cluster,
        deployment(cluster=cluster) as deployed,
    ):
        master = _master_hangs(deployed, cluster, per_second, seconds)
    return {"per_second": per_second, "seconds": seconds, "provider_hangs": provider, "master_hangs": master}


def _provider_hangs(deployed: Deployment, per_second: int, seconds: int) -> dict[str, Any]:
    subject = deployed.subject
    subject.make(20)
    before = _orders(subject.ports)
    subject.provider({"kind": "hang"})
    answers = _at_rate([subject.create() for _ in range(per_second * seconds)], per_second)
    orders = _orders(subject.ports) - before
    subject.provider(None)
    began = time.monotonic()
    while _answer(subject.create(), began)[1] != 201:
        gevent.sleep(0.1)
    return {
        "orders_sent": orders["timeout"],
        "orders_refused": orders["not_sent"],
        "seconds_until_the_next_success": time.monotonic() - began,
        **_told(answers),
    }


def _orders(ports: Ports) -> Counter[str]:
    """Return the orders at the provider so far, by their outcome."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ports.ops}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found: Counter[str] = Counter()
    for labels, value in re.findall(
        r"^waitcall_provider_requests_total\{(.*?)\} ([0-9.e+]+)$", text, re.MULTILINE
    ):
        found[labels.partition('outcome="')[2].partition('"')[0]] += int(float(value))
    return found


def _master_hangs(deployed: Deployment, cluster: Cluster, per_second: int, seconds: int) -> dict[str, Any]:
    subject = deployed.subject
    keys, client = Keys(development_settings()["WAITCALL_KEY_PEPPER"]), cluster.client()
    made: dict[bool, list[Any]] = {True: [], False: []}
    for each in subject.make(60):
        node = client.get_node_from_key(keys.record(each["id"]) or "")
        made[node is not None and node.port == cluster.nodes[0].port].append(each)
    half = per_second * seconds // 2
    asked = [subject.read(made[index % 2 == 0][index // 2 % 10]) for index in range(2 * half)]
    # The connections are made before.
    _at_rate(asked[:20], per_second)
    hanging = cluster.nodes[0].process
    assert hanging is not None  # noqa: S101  # nosec B101  # it has just started
    hanging.send_signal(signal.SIGSTOP)
    try:
        answers = _at_rate(asked, per_second)
    finally:
        hanging.send_signal(signal.SIGCONT)
    began = time.monotonic()
    while _answer(asked[0], began)[1] != 200:
        gevent.sleep(0.1)
    return {
        "of_its_numbers": _told([each for index, each in enumerate(answers) if index % 2 == 0]),
        "of_other_numbers": _told([each for index, each in enumerate(answers) if index % 2]),
        "seconds_until_the_next_success": time.monotonic() - began,
    }


def _at_rate(asked: Sequence[Ask], per_second: float) -> list[Answer]:
    """Send requests at a fixed rate, each on a connection of its own. Return their answers in the order of sending."""
    began, sent = time.monotonic(), []
    for index, ask in enumerate(asked):
        gevent.sleep(max(began + index / per_second - time.monotonic(), 0))
        sent.append(gevent.spawn(_answer, ask, began))
    gevent.joinall(sent, raise_error=True)
    return [each.value for each in sent]


def _answer(ask: Ask, began: float) -> Answer:
    sent = time.monotonic()
    connection = Connection(ask.port)
    status, _ = connection.exchange(ask)
    connection.close()
    return sent - began, status, time.monotonic() - sent


def _told(answers: Sequence[Answer]) -> dict[str, Any]:
    waits = {status: [wait for _, each, wait in answers if each == status] for _, status, _ in answers}
    return {
        "answers": {str(status): len(each) for status, each in sorted(waits.items())},
        "median_seconds": {str(status): percentile(each, 0.5) for status, each in sorted(waits.items())},
        "longest_seconds": {str(status): max(each) for status, each in sorted(waits.items())},
    }
