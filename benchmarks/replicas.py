"""Measure journeys with one, two and four worker processes, on one Redis server and on a cluster of three masters."""

import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from benchmarks.journeys import most
from benchmarks.subject import Measured, Subject, cpu_seconds
from development.ports import Ports
from tests.redis_servers import Cluster


def measure(processes: Sequence[int], rounds: int, journeys: int) -> dict[str, Any]:
    """Measure journeys a second, and the cores that the service, Redis and the simulator used meanwhile."""
    amount = (rounds, journeys)
    found = [_measured("one server", count, amount) for count in processes]
    with closing(Cluster("valkey")) as cluster:
        found += [_measured("cluster, 3 masters", count, amount, cluster) for count in processes]
    return {"runs": found}


def _measured(
    redis: str, count: int, amount: tuple[int, int], cluster: Cluster | None = None
) -> dict[str, Any]:
    rounds, journeys = amount
    environ = {"WAITCALL_REDIS_URL": cluster.url} if cluster else {}
    pids = [node.process.pid for node in cluster.nodes if node.process] if cluster else None
    for node in cluster.nodes if cluster else ():
        # Every run uses the same phone numbers, so remove the verifications of the last one.
        node.client().flushall()
    with Measured(Ports.free(), {"WAITCALL_WORKERS": str(count)} | environ) as stack:
        subject = Subject(stack)
        watched = {
            "service": subject.pids,
            "redis": pids or [stack.processes.pid("valkey")],
            "simulator": [stack.processes.pid("simulator")],
        }
        most(subject, journeys)
        rates, shares = [], []
        for _ in range(rounds):
            before, began = {name: cpu_seconds(each) for name, each in watched.items()}, time.perf_counter()
            rates.append(most(subject, journeys))
            seconds = time.perf_counter() - began
            shares.append(
                {name: (cpu_seconds(each) - before[name]) / seconds for name, each in watched.items()}
            )
    return {
        "redis": redis,
        "processes": count,
        "journeys_per_second": statistics.median(rates),
        "cores_used": {name: statistics.median(share[name] for share in shares) for name in watched},
    }
