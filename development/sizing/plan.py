"""Formulas of the sizing: from the measured costs of a journey to pods, Redis servers, memory, bytes and connections."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from waitcall.adapters.redis.keys import AUDIT_PARTS, DUE_PARTS
from waitcall.application.deliver_webhooks import SLOTS_OF_ENDPOINT
from waitcall.application.reconcile_inbox import MOST_PAGES, PAGE
from waitcall.composition.container import MAX_REDIS_CONNECTIONS
from waitcall.configuration.settings import SETTINGS
from waitcall.domain.policy import LONGEST_WINDOW_SECONDS, Audit

RATES = (1, 100, 10_000, 100_000)
HALF = 0.5
"""Share of its core that a process or a server uses, so that the other half is left for surges and failures."""
PROCESSES_OF_A_POD = 2
FEWEST_PODS, FEWEST_WORKERS = 3, 2
LONG_POLL_SECONDS = 20
"""Time that a person takes to call, during which one long poll is held."""
MASTER_MB = 35
GB_OF_A_SERVER = 16
"""Memory of one Redis server. A larger one takes longer to copy to a new replica."""
GB = 1e9
MB = 1e6
OF_ALL = ("limit country", "limit global")
"""Limits whose one key holds the uses of all verifications."""
SHORT = {"due": LONGEST_WINDOW_SECONDS}
"""Entries that leave their key before the key's lifetime ends, and after how many seconds at the latest."""


@dataclass(frozen=True)
class Plan:
    """Needs of a number of verifications a second."""

    per_second: int
    is_cluster: bool
    api_cores: float
    public_cores: float
    worker_cores: float
    api_pods: int
    public_pods: int
    worker_pods: int
    polls: int
    pod_mb: int
    redis_cores: float
    redis_gb: float
    """Memory of the keys that lie on all servers."""
    key_gb: float
    """Memory of the one key of the limit ``global``."""
    redis_servers: int
    """Masters. Each needs a replica, or two behind Sentinel."""
    commands: float
    http_mbit: float
    redis_mbit: float
    connections: int
    """Most connections to one Redis server."""
    series: int
    log_gb_a_day: float


def plan(costs: Mapping[str, Any], per_second: int, kb_of_a_poll: float) -> Plan:
    """Return the plan for a number of verifications a second. Every person calls, and every proof is consumed."""
    memory = memory_of(costs)
    redis_gb = per_second * sum(memory.values()) / GB + audit_gb(costs)
    one = costs["one_server"]
    is_cluster = per_second * one["cpu_ms_at_rate"]["redis"] / 1000 > HALF or redis_gb > GB_OF_A_SERVER
    measured = costs["cluster"] if is_cluster else one
    cores = {name: per_second * each / 1000 for name, each in measured["cpu_ms_at_rate"].items()}
    pods = {
        name: max(ceil(cores[name] / HALF / PROCESSES_OF_A_POD), FEWEST_PODS) for name in ("api", "public")
    }
    workers = max(ceil(cores["worker"] / HALF), FEWEST_WORKERS)
    polls = per_second * LONG_POLL_SECONDS
    resident = costs["processes"]["resident_mb"]
    series = costs["processes"]["series"]
    return Plan(
        per_second=per_second,
        is_cluster=is_cluster,
        api_cores=cores["api"],
        public_cores=cores["public"],
        worker_cores=cores["worker"],
        api_pods=pods["api"],
        public_pods=pods["public"],
        worker_pods=workers,
        polls=polls,
        pod_mb=ceil(
            MASTER_MB + PROCESSES_OF_A_POD * resident["api"] + polls / pods["api"] * kb_of_a_poll / 1000
        ),
        redis_cores=cores["redis"],
        redis_gb=redis_gb,
        key_gb=per_second * memory_of(costs, of_all=True)["limit global 3600"] / GB,
        redis_servers=max(ceil(cores["redis"] / HALF), ceil(redis_gb / GB_OF_A_SERVER)) if is_cluster else 1,
        commands=per_second * measured["redis"]["commands"],
        http_mbit=per_second * sum(measured["http_bytes"].values()) * 8 / MB,
        redis_mbit=per_second * (measured["redis"]["bytes_in"] + measured["redis"]["bytes_out"]) * 8 / MB,
        connections=(pods["api"] + pods["public"]) * PROCESSES_OF_A_POD * (MAX_REDIS_CONNECTIONS + 1),
        series=pods["api"] * series["api"] + pods["public"] * series["public"] + workers * series["worker"],
        log_gb_a_day=per_second * measured["log_bytes"] * 86_400 / GB,
    )


def memory_of(costs: Mapping[str, Any], *, of_all: bool = False) -> dict[str, float]:
    """Return for each kind of key its bytes times the seconds that it is kept: the bytes for each verification a second.

    ``of_all``: True for the limits whose one key holds the uses of all verifications, else all other kinds but the audit stream.
    """
    pending, consumed = costs["memory"]["pending"], costs["memory"]["consumed"]
    found = {}
    for kind in consumed:
        nothing = {"bytes": 0.0}
        size = max(consumed[kind]["bytes"], pending.get(kind, nothing)["bytes"])
        if kind.startswith(OF_ALL) is of_all and kind != "audit" and size >= 1:
            found[kind] = size * SHORT.get(kind, consumed[kind]["seconds"])
    return found


def audit_gb(costs: Mapping[str, Any]) -> float:
    """Return the memory of the audit stream when it is full, in GB."""
    each = float(costs["memory"]["consumed"]["audit"]["bytes"]) / audit_entries(costs)
    return Audit().max_entries * each / GB


def audit_entries(costs: Mapping[str, Any]) -> float:
    """Return the entries that a journey adds to the audit stream."""
    return float(costs["cluster"]["keys"]["audit"]["sent"])


def ceilings(costs: Mapping[str, Any]) -> dict[str, float]:
    """Return the verifications a second at which one server's core is full with the commands for one key, by kind of key."""
    keys, busy = costs["cluster"]["keys"], costs["busy_us"]
    used = {kind: float(keys[kind]["sent"]) for kind in ("lists", "conversion country", "audit", "due")}
    spent = {
        "lists": used["lists"] * busy["lists"],
        # A create reads the counts, and the two others count.
        "conversion country": busy["conversion_read"]
        + (used["conversion country"] - 1) * busy["conversion_count"],
        "limit country 3600": busy["limit"],
        "limit global 3600": busy["limit"],
        "audit": used["audit"] * busy["audit"] / AUDIT_PARTS,
        "due": used["due"] * busy["due"] / DUE_PARTS,
    }
    return {kind: 1e6 / each for kind, each in spent.items()}


def inbox_calls_a_second() -> float:
    """Return the calls a second that the leading worker can find in the provider's inbox."""
    return PAGE * MOST_PAGES / int(SETTINGS["INBOX_POLL_SECONDS"].default or 0)


def deliveries_a_second(seconds: float) -> float:
    """Return the webhooks a second that one worker delivers to one endpoint that takes so long to answer."""
    return SLOTS_OF_ENDPOINT / seconds
