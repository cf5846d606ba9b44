"""Writer of docs/sizing.md and its picture, from docs/sizing.in.md and the JSON of the last measurements."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from development.sizing.plan import (
    HALF,
    RATES,
    Plan,
    audit_entries,
    ceilings,
    deliveries_a_second,
    inbox_calls_a_second,
    memory_of,
    plan,
)
from development.sizing.scenarios import AFTER_SECONDS, FAULT_AT, SCENARIOS
from development.sizing.timeouts import timeouts
from development.stack import ROOT
from waitcall.domain.policy import Audit

RESULTS = ROOT / "benchmarks" / "results"
TEMPLATE, PAGE, PICTURE = (
    ROOT / "docs" / name for name in ("sizing.in.md", "sizing.md", "sizing/faults.svg")
)
KINDS = {"shipped": "as shipped", "spread": "without keys of all"}
LINES = [(kind, name) for name in ("silent", "all") for kind in KINDS]
"""Runs in the picture."""


def load(name: str) -> dict[str, Any]:
    """Return what a measurement found."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def page() -> str:
    """Return the page."""
    kept = {name: load(name) for name in ("costs", "faults", "simulation", "waiting")}
    costs, simulated = kept["costs"]["found"], kept["simulation"]["found"]
    plans = [plan(costs, rate, kept["waiting"]["found"]["kb_each"]) for rate in RATES]
    parts = {
        "plan": _plan(plans),
        "ceilings": _ceilings(costs),
        "costs": _costs(costs),
        "memory": _memory(costs),
        "price": _price(costs),
        "faults": _faults(simulated["shipped"]),
        "spread": _faults(simulated["spread"]),
        "breaker_first": _faults(simulated["breaker_first"]),
        "utilisation": _utilisation(simulated["utilisation"]),
        "bounds": _bounds(simulated["spread"]),
        "scale": _scale(simulated),
        "comparison": _comparison(simulated["comparison"]),
        "timeouts": _timeouts(),
        "machine": _machine(kept),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"<!-- {name} -->", part)
    return text


def write() -> None:
    """Write the page and its picture."""
    PAGE.write_text(page(), encoding="utf-8")
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(load("simulation")["found"]), encoding="utf-8")


def picture(simulated: Mapping[str, Any]) -> str:
    """Return the picture of the verifications that complete in each second, as SVG."""
    # pygal changes how Python imports modules, which pytest would take for a mistake of a test.
    import pygal  # noqa: PLC0415  see above
    from pygal.style import CleanStyle  # noqa: PLC0415  see above

    chart = pygal.Line(
        style=CleanStyle,
        height=360,
        title="verifications completed a second",
        x_title="seconds since the beginning of the fault",
        show_dots=False,
        legend_at_bottom=True,
        truncate_legend=-1,
        truncate_label=-1,
    )
    # Its names must not change with each drawing.
    chart.uuid = "faults"
    chart.config.js = []
    first, last = FAULT_AT - 5, max(len(simulated[kind][name]["done"]) for kind, name in LINES)
    seconds = range(first, last)
    chart.x_labels = [str(second - FAULT_AT) if (second - FAULT_AT) % 10 == 0 else "" for second in seconds]
    for kind, name in LINES:
        done = simulated[kind][name]["done"]
        chart.add(
            f"{SCENARIOS[name].told}, {KINDS[kind]}",
            [sum(done[at - 2 : at + 1]) / 3 if at < len(done) else None for at in seconds],
        )
    return str(chart.render(is_unicode=True, disable_xml_declaration=True))


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _number(value: float) -> str:
    """Return a number with three digits at least, and no fraction if it is whole."""
    digits = 0 if value == int(value) else max(2 - len(str(int(value))) + 1, 0)
    return f"{value:,.{digits}f}"


def _plan(plans: list[Plan]) -> str:
    rows: list[tuple[str, str]] = [
        ("API pods, two processes each", "api_pods"),
        ("CPU that they use, cores", "api_cores"),
        ("public pods, two processes each", "public_pods"),
        ("CPU that they use, cores", "public_cores"),
        ("worker pods", "worker_pods"),
        ("CPU that they use, cores", "worker_cores"),
        ("long polls held", "polls"),
        ("memory of an API pod, MB", "pod_mb"),
        ("Redis masters", "redis_servers"),
        ("CPU of Redis, cores", "redis_cores"),
        ("memory of Redis, GB", "redis_gb"),
        ("and the key of the limit `global`, GB", "key_gb"),
        ("commands at Redis a second, with those in scripts", "commands"),
        ("HTTP, Mbit/s", "http_mbit"),
        ("Redis, Mbit/s", "redis_mbit"),
        ("connections to one Redis server, at most", "connections"),
        ("Prometheus series", "series"),
        ("log, GB a day", "log_gb_a_day"),
    ]
    told = [asdict(each) for each in plans]
    head = ["verifications a second", *(f"{each.per_second:,}" for each in plans)]
    kinds = ["Redis", *("cluster" if each.is_cluster else "Sentinel" for each in plans)]
    return _table(head, [kinds, *([name, *(_number(each[key]) for each in told)] for name, key in rows)])


KEYS = {
    "conversion country": "counts of the conversion guard, one key for each country",
    "lists": "the operators' lists, one key, read by each create, callback and consume",
    "limit global 3600": "limit `global`, one key",
    "limit country 3600": "limit `country`, one key for each country",
    "audit": "audit stream, eight keys",
    "due": "deadlines, eight keys",
}


def _ceilings(costs: Mapping[str, Any]) -> str:
    rows = [
        ["calls found in the provider's inbox by the leading worker", "", _number(inbox_calls_a_second())],
        [
            "webhooks that one worker delivers to one endpoint that answers in 50 ms",
            "",
            _number(deliveries_a_second(0.05)),
        ],
    ]
    keys = costs["cluster"]["keys"]
    full = sorted(ceilings(costs).items(), key=lambda each: each[1])
    rows += [[f"{KEYS[kind]}", _number(keys[kind]["sent"]), f"{round(rate, -2):,.0f}"] for kind, rate in full]
    return _table(["what", "commands of a journey", "most a second"], rows)


def _costs(costs: Mapping[str, Any]) -> str:
    one, cluster = costs["one_server"], costs["cluster"]
    rows = [
        [f"CPU of {name}, ms", *(_number(each["cpu_ms_at_rate"][name]) for each in (one, cluster))]
        for name in ("api", "public", "worker", "redis")
    ]
    rows += [
        [
            f"CPU of {name} at full load, ms",
            *(_number(each["cpu_ms_at_full_load"][name]) for each in (one, cluster)),
        ]
        for name in ("api", "public", "redis")
    ]
    for told, key in (
        ("commands at Redis, with those in scripts", "commands"),
        ("scripts", "scripts"),
        ("bytes to Redis", "bytes_in"),
        ("bytes from Redis", "bytes_out"),
    ):
        rows.append([told, *(_number(each["redis"][key]) for each in (one, cluster))])
    for name in ("api", "public"):
        rows.append(
            [f"bytes of HTTP, {name}", *(_number(each["http_bytes"][name]) for each in (one, cluster))]
        )
    rows.append(["bytes of log", *(_number(each["log_bytes"]) for each in (one, cluster))])
    return _table(["of one journey", "one server", "cluster, 3 masters"], rows)


def _memory(costs: Mapping[str, Any]) -> str:
    rows = []
    found = memory_of(costs) | memory_of(costs, of_all=True)
    consumed = costs["memory"]["consumed"]
    for kind, held in sorted(found.items(), key=lambda each: -each[1]):
        size = max(consumed[kind]["bytes"], costs["memory"]["pending"].get(kind, {"bytes": 0})["bytes"])
        rows.append([f"`{kind}`", _number(size), _number(held / size), _number(held / 1e6)])
    total = sum(memory_of(costs).values())
    entries = Audit().max_entries
    seconds = entries / audit_entries(costs)
    told = (
        f"Together {total / 1e6:,.0f} MB for each verification a second, without the limits of all. A live verification has "
        f"{costs['memory']['pending_used']:,.0f} bytes with everything that a create writes. The audit stream is bounded: {entries:,} entries "
        f"are {seconds / 3600:,.1f} hours at one verification a second, and {seconds / 100 / 60:,.0f} minutes at 100."
    )
    return "\n".join([_table(["key", "bytes", "kept, s", "MB at one a second"], rows), "", told])


def _price(costs: Mapping[str, Any]) -> str:
    measured = costs["cluster"]["cpu_ms_at_rate"]
    hours = sum(measured.values()) / 1000 * 1e6 / 3600
    one = sum(costs["one_server"]["cpu_ms_at_rate"].values()) / 1000 * 1e6 / 3600
    gb = sum(memory_of(costs).values()) / 1e9
    return _table(
        ["a million verifications", "one server", "cluster"],
        [
            ["core-hours used", _number(one), _number(hours)],
            ["core-hours to pay at half load", _number(one / HALF), _number(hours / HALF)],
            ["GB-hours of Redis, each copy", _number(gb * 1e6 / 3600), _number(gb * 1e6 / 3600)],
            ["GB of log", *(_number(costs[kind]["log_bytes"] / 1000) for kind in ("one_server", "cluster"))],
        ],
    )


def _faults(faults: Mapping[str, Any]) -> str:
    rows = []
    for name, each in faults.items():
        scenario = SCENARIOS[name]
        recovered = each["seconds_to_recover"]
        rows.append(
            [
                f"{scenario.told}, {scenario.seconds} s",
                *(f"{each[f'done_{when}']:,.0f}" for when in ("before", "meanwhile", "after")),
                _seconds(recovered),
                f"{each['refused'] / each['creates']:.0%}",
                f"{each['refused_within_a_second']:.0%}",
                _number(each["refused_longest_seconds"]),
                _number(each["created_longest_seconds"]),
                f"{each['given_up']:,}",
            ]
        )
    head = [
        "fault",
        "completed a second before",
        "meanwhile",
        "after",
        "recovered after, s",
        "creates answered 503",
    ]
    return _table(
        [*head, "of these within 1 s", "longest 503, s", "longest 201, s", "people who gave up"], rows
    )


def _seconds(recovered: int | None) -> str:
    return f"not within {AFTER_SECONDS}" if recovered is None else str(recovered)


def _scale(simulated: Mapping[str, Any]) -> str:
    """Compare a run with one in which four times as many processes are simulated."""
    runs = {"as above": simulated["spread"]["all"], "four times as many processes": simulated["larger_part"]}
    rows = [
        [name, *(_number(each[key]) for key in ("done_after", "seconds_to_recover", "refused", "given_up"))]
        for name, each in runs.items()
    ]
    return _table(
        [
            "simulated part",
            "completed a second after",
            "recovered after, s",
            "creates answered 503",
            "gave up",
        ],
        rows,
    )


def _utilisation(found: Mapping[str, Any]) -> str:
    names = [name for name in SCENARIOS if name in next(iter(found.values()))]
    rows = [
        [f"{float(share):.0%}", *(_seconds(each[name]) for name in names)] for share, each in found.items()
    ]
    return _table(["CPU used before the fault", *(SCENARIOS[name].told for name in names)], rows)


def _bounds(faults: Mapping[str, Any]) -> str:
    rows = []
    for told, key in (
        ("orders under way in one process", "most_orders_of_a_process"),
        ("requests in one process, with long polls", "most_requests_of_a_process"),
        ("steps that wait for a Redis client in one process", "most_waiting_for_a_client"),
        ("longest queue for the CPU of one process, s", "longest_cpu_queue_seconds"),
        ("answers later than the client waits", "answers_lost_to_the_clients_timeout"),
    ):
        rows.append([told, *(_number(each[key]) for each in faults.values())])
    return _table(["at most", *(SCENARIOS[name].told for name in faults)], rows)


def _comparison(found: Mapping[str, Any]) -> str:
    rows = [[told, _number(each["measured"]), _number(each["simulated"])] for told, each in found.items()]
    return _table(["one process", "measured", "simulated"], rows)


def _timeouts() -> str:
    return _table(
        ["from the outside to the inside", "seconds"], [[name, _number(each)] for name, each in timeouts()]
    )


def _machine(kept: Mapping[str, Any]) -> str:
    rows = []
    for each in kept.values():
        machine = each["machine"]
        rows.append(
            [
                f"`{each['command']}`",
                machine["commit"],
                f"{machine['cpu']}, {machine['cores']} cores",
                f"Linux {machine['kernel']}, Python {machine['python']}",
            ]
        )
    return _table(["command", "commit", "machine", "system"], rows)
