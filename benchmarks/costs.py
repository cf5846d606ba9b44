"""Measure what a journey costs each process: CPU, commands and bytes at Redis, bytes over HTTP, log, and memory by key.

docs/sizing.md is computed from it. Counts and bytes are the same on every machine. CPU time is not: run this with nothing else
on the machine.
"""

import json
import re
import shutil
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import gevent
from redis import Redis

from benchmarks.journeys import Journeys, most
from benchmarks.load import Ask, at_rate, closed_loop
from benchmarks.subject import (
    CONNECTIONS,
    ONE_WORKER,
    Measured,
    Subject,
    cpu_seconds,
    resident_kb,
    start_another,
    workers_of,
)
from development.ports import Ports
from tests.redis_servers import Cluster, Server
from waitcall.adapters.redis.keys import LISTS
from waitcall.adapters.redis.script import Script

RATE = 10
IDLE_SECONDS = 10
AT_ONCE = 8
POLLS_PER_SECOND = 300
"""They keep a process busy. At a tenth of this rate each poll takes twice the CPU."""
HELD = 300
"""Polls that are held at the same time, so that the last begins long before the first ends."""
_KEY = re.compile(r"waitcall:\{[^}]*\}:(?:(limit:[a-z_]+):[0-9]+(:[0-9]+)|(conversion:[a-z]+)|([a-z]+))")


class Clients(Subject):
    """Requests as waitcall's own clients send them: with the visitor's address, a reference and an Idempotency-Key."""

    _addresses = count(1)

    def create(self, port: int | None = None, path: str = "/v1/verifications") -> Ask:
        """Return a create from an address of a network of its own, which costs Redis the most memory."""
        address = next(self._addresses)
        body = {
            "phone_number": f"+{next(self._numbers)}",
            "purpose": "login",
            "reference": "flow-7f3a",
            "client_ip": f"{11 + address // 65536}.{address // 256 % 256}.{address % 256}.7",
        }
        key = f"create-{address}"
        return Ask.of(port or self.ports.api, "POST", path, 201, json.dumps(body), key=key)

    def consume(self, made: Any) -> Ask:
        """Return a consume of a verification."""
        proof = json.dumps({"purpose": "login", "reference": "flow-7f3a"})
        path, key = f"/v1/verifications/{made['id']}/consume", f"consume-{made['id'][-20:]}"
        return Ask.of(self.ports.api, "POST", path, 200, proof, key=key)


@dataclass(frozen=True)
class Deployment:
    """Service as the chart deploys it: a tree for the API, one for the public surface, and a background worker."""

    subject: Clients
    processes: Mapping[str, Sequence[int]]
    servers: Sequence[Any]
    public: Ports

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds that each kind of process has used."""
        return {name: cpu_seconds(pids) for name, pids in self.processes.items()}

    def spent(self, act: Callable[[], Any], each: float) -> dict[str, float]:
        """Run ``act``. Return the CPU time of each kind of process, divided by ``each``, in ms."""
        before = self.cpu()
        act()
        return {name: (used - before[name]) / each * 1000 for name, used in self.cpu().items()}


@contextmanager
def deployment(
    environ: Mapping[str, str] | None = None, cluster: Cluster | None = None
) -> Iterator[Deployment]:
    """Start the service over one server, or over a cluster; one worker process for each tree."""
    settings = ONE_WORKER | {"WAITCALL_SURFACES": "api"} | dict(environ or {})
    settings |= {"WAITCALL_REDIS_URL": cluster.url} if cluster else {}
    with Measured(Ports.free(), settings) as stack:
        stack.environ |= {"WAITCALL_SURFACES": "callback"}
        public = start_another(stack, "public")
        subject = Clients(stack)
        subject.ports = replace(stack.ports, callback=public.callback)
        nodes = cluster.nodes if cluster else []
        yield Deployment(
            subject,
            {
                "api": subject.pids,
                "public": workers_of(stack, "public"),
                "worker": [stack.processes.pid("worker")],
                "redis": [each.process.pid for each in nodes if each.process]
                or [stack.processes.pid("valkey")],
            },
            [each.client() for each in nodes]
            or [Redis(unix_socket_path=str(stack.directory / "valkey.sock"))],
            public,
        )


def measure(journeys: int, records: int) -> dict[str, Any]:
    """Measure on one Redis server, and on a cluster of three masters."""
    with deployment() as deployed:
        most(deployed.subject, 100)
        found: dict[str, Any] = {"one_server": _costs(deployed, journeys)}
        found["one_server"]["keys"] = _commands_by_key(deployed)
        found["processes"] = _processes(deployed)
    with closing(Cluster("valkey")) as cluster, deployment(cluster=cluster) as deployed:
        most(deployed.subject, 100)
        found["cluster"] = _costs(deployed, journeys)
        found["cluster"]["keys"] = _commands_by_key(deployed)
    with deployment() as deployed:
        found["memory"] = _memory(deployed, records)
    found["busy_us"] = _busy(100_000)
    return found


def _busy(requests: int) -> dict[str, float]:
    """Return the CPU time of a busy server for each command that all verifications send to one key, in µs.

    A server that is not busy spends several times as much on each command, because it wakes up for each.
    """
    if shutil.which("redis-benchmark") is None:
        raise RuntimeError("redis-benchmark is not installed (apt install redis-tools)")
    found = {}
    with closing(Server("valkey").start()) as server, server.client() as client:
        client.hset(LISTS, "rev", "a" * 16)
        client.set("record", "a" * 600)
        client.hset("counts", mapping={f"s:{bucket}": 100_000 for bucket in range(24)})
        for name, words in _commands_of_all(client).items():
            if server.process is None:
                continue
            before = cpu_seconds([server.process.pid])
            options = ["-p", str(server.port), "-c", "64", "-n", str(requests), "-r", "1000000000", "--csv"]
            subprocess.run(
                ["redis-benchmark", *options, *words], capture_output=True, check=True, timeout=600
            )
            found[name] = (cpu_seconds([server.process.pid]) - before) / requests * 1e6
    return found


def _commands_of_all(client: Any) -> dict[str, list[str]]:
    """Return the commands by what they do. redis-benchmark replaces ``__rand_int__``."""

    def script(name: str, keys: Sequence[str], *args: str) -> list[str]:
        return ["EVALSHA", client.script_load(Script(name).text), str(len(keys)), *keys, *args]

    hour, many = "3600000", "999999999"
    audited = [
        "at",
        "2026-01-01T00:00:00.000Z",
        "event",
        "started",
        "actor",
        "client:web",
        "number_hash",
        "a" * 24,
    ]
    return {
        "get": ["GET", "record"],
        "lists": ["HGET", LISTS, "rev"],
        "limit": script(
            "spends", ["limit"], "1800000000000", "a__rand_int__", "1700000000000", hour, many, "1"
        ),
        "conversion_read": ["HGETALL", "counts"],
        "conversion_count": script("count_conversion", ["counts"], "s:1", "0", hour, "200"),
        "due": script("schedule", ["due"], "1800000000000", "ver_" + "a" * 52 + "__rand_int__", hour),
        "audit": script("audit", ["audit"] * 3, "", "0-0", hour, "0", "0", "0", "0", *audited),
    }


def _costs(deployed: Deployment, journeys: int) -> dict[str, Any]:
    """Measure each request at full load, whole journeys at full load, and whole journeys at a low rate."""
    subject = deployed.subject
    idle = deployed.spent(lambda: gevent.sleep(IDLE_SECONDS), IDLE_SECONDS)
    requests = _requests(deployed, journeys)
    rates: list[float] = []
    full = deployed.spent(lambda: rates.append(most(subject, journeys)), journeys)
    walked = Journeys(subject)
    before, log = _counted(deployed), _log_bytes(subject)
    at_low_rate = deployed.spent(lambda: at_rate([walked.one] * journeys, RATE), journeys)
    counted = {name: (each - before[name]) / journeys for name, each in _counted(deployed).items()}
    http = walked.transferred
    return {
        "cpu_ms_of_requests": requests,
        "cpu_ms_at_full_load": full,
        "journeys_per_second_at_full_load": rates[0],
        "rate": RATE,
        "cpu_ms_at_rate": at_low_rate,
        "idle_cpu_ms_per_second": idle,
        "redis": counted,
        "http_bytes": {
            "api": http[subject.ports.api] / journeys,
            "public": http[subject.ports.callback] / journeys,
        },
        "log_bytes": (_log_bytes(subject) - log) / journeys,
    }


def _requests(deployed: Deployment, journeys: int) -> dict[str, float]:
    """Return the CPU time of each request in the process that serves it, in ms. A poll is held until the call comes."""
    subject = deployed.subject
    made: list[Any] = []
    journeys = min(journeys, HELD)

    def create() -> None:
        bodies = closed_loop([subject.create() for _ in range(journeys)], CONNECTIONS).bodies
        made.extend(json.loads(body) for body in bodies)

    found = {"create": deployed.spent(create, journeys)["api"]}
    polls: list[Any] = []

    def poll() -> None:
        held = [subject.read(each, wait_seconds=30) for each in made]
        for each in held:
            polls.append(gevent.spawn(closed_loop, [each], 1))
            gevent.sleep(1 / POLLS_PER_SECOND)
        # The last polls begin.
        gevent.sleep(1)

    begun = deployed.spent(poll, journeys)["api"]
    calls = [subject.callback(each) for each in made]

    def call() -> None:
        closed_loop(calls, CONNECTIONS)
        gevent.joinall(polls, raise_error=True)

    called = deployed.spent(call, journeys)
    found |= {"poll": begun, "wake": called["api"], "callback": called["public"]}
    proofs = [subject.consume(each) for each in made]
    found["consume"] = deployed.spent(lambda: closed_loop(proofs, CONNECTIONS), journeys)["api"]
    return found


def _counted(deployed: Deployment) -> dict[str, float]:
    """Return counts of all servers: commands, those sent by clients, the server's time in commands, and bytes."""
    counts: Counter[str] = Counter()
    for server in deployed.servers:
        stats, commands = server.info("stats"), server.info("commandstats")
        counts["commands"] += sum(each["calls"] for each in commands.values())
        counts["scripts"] += sum(
            commands.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha")
        )
        counts["bytes_in"] += stats["total_net_input_bytes"]
        counts["bytes_out"] += stats["total_net_output_bytes"]
    return dict(counts)


def _log_bytes(subject: Subject) -> int:
    directory = subject.stack.directory
    return sum((directory / f"{name}.log").stat().st_size for name in ("service", "public", "worker"))


def kind_of(key: str) -> str:
    """Return the kind of a key. A limit's has its scope and its period in seconds, for instance ``limit ip 3600``."""
    match = _KEY.search(key)
    return "".join(filter(None, match.groups())).replace(":", " ") if match else "other"


def _commands_by_key(deployed: Deployment) -> dict[str, dict[str, float]]:
    """Return for each kind of key the commands of one journey: those that a process sent, and all with those in scripts."""
    seen: list[dict[str, Any]] = []

    def watch(server: Any) -> None:
        with server.monitor() as monitor:
            seen.extend(monitor.listen())

    watching = [gevent.spawn(watch, server) for server in deployed.servers]
    gevent.sleep(1)
    seen.clear()
    walked, journeys = Journeys(deployed.subject), 40
    for _ in range(journeys // AT_ONCE):
        gevent.joinall([gevent.spawn(walked.one) for _ in range(AT_ONCE)], raise_error=True)
    gevent.sleep(0.5)
    gevent.killall(watching)
    sent: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    for each in seen:
        words = each["command"].split()
        if words[0].upper() in ("PING", "INFO", "ZRANGE") or not _KEY.search(each["command"]):
            # Every process looks for due records with ZRANGE, whether there are journeys or not.
            continue
        keys = {kind_of(word) for word in words if _KEY.match(word)}
        inner = each["client_type"] == "lua" or each["client_address"] == "lua"
        for kind in keys if not inner else {kind_of(each["command"])}:
            (inside if inner else sent)[kind] += 1
    return {
        kind: {"sent": sent[kind] / journeys, "in_scripts": inside[kind] / journeys}
        for kind in sorted(sent | inside)
    }


def _processes(deployed: Deployment) -> dict[str, Any]:
    """Return memory and Prometheus series of each kind of process, and the connections to Redis."""
    ports = {"api": deployed.subject.ports.ops, "public": deployed.public.ops}
    ports["worker"] = deployed.subject.ports.worker_ops
    series = {}
    for name, port in ports.items():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        series[name] = sum(1 for line in lines if line and not line.startswith("#"))
    return {
        "resident_mb": {name: resident_kb(deployed.processes[name]) / 1024 for name in ports},
        "series": series,
        "connections": deployed.servers[0].info("clients")["connected_clients"],
    }


def _memory(deployed: Deployment, journeys: int) -> dict[str, Any]:
    """Return the bytes and lifetimes of a verification's keys: pending, and consumed."""
    server, subject = deployed.servers[0], deployed.subject
    most(subject, 20)
    found: dict[str, Any] = {}
    before, used = _keys(server), server.info("memory")["used_memory"]
    made = subject.make(journeys)
    found["pending"] = _grown(before, _keys(server), journeys)
    found["pending_used"] = (server.info("memory")["used_memory"] - used) / journeys
    closed_loop([subject.callback(each) for each in made], CONNECTIONS)
    closed_loop([subject.consume(each) for each in made], CONNECTIONS)
    found["consumed"] = _grown(before, _keys(server), journeys)
    found["consumed_used"] = (server.info("memory")["used_memory"] - used) / journeys
    return found


def _keys(server: Any) -> dict[str, dict[str, Any]]:
    """Return for each kind of key the number of keys, their bytes, and the longest of their lifetimes in seconds."""
    keys = list(server.scan_iter(count=1000))
    pipeline = server.pipeline(transaction=False)
    for key in keys:
        pipeline.memory_usage(key, samples=0)
        pipeline.pttl(key)
    answers = pipeline.execute()
    kinds: dict[str, list[tuple[int, int]]] = {}
    for key, size, left in zip(keys, answers[::2], answers[1::2], strict=True):
        if size is not None:
            kinds.setdefault(kind_of(key.decode()), []).append((size, left))
    return {
        kind: {
            "keys": len(each),
            "bytes": sum(size for size, _ in each),
            "seconds": max(left for _, left in each) / 1000,
        }
        for kind, each in kinds.items()
    }


def _grown(before: Mapping[str, Any], after: Mapping[str, Any], number: int) -> dict[str, Any]:
    nothing = {"keys": 0, "bytes": 0}
    return {
        kind: {
            "keys": (each["keys"] - before.get(kind, nothing)["keys"]) / number,
            "bytes": (each["bytes"] - before.get(kind, nothing)["bytes"]) / number,
            "seconds": each["seconds"],
        }
        for kind, each in sorted(after.items())
    }
