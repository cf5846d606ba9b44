"""Writer of the chart's Grafana board, from the rows below: ``python -m development.board``."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BOARD = Path(__file__).resolve().parent.parent / "helm/waitcall/dashboards/waitcall.json"
RELEASE = 'namespace=~"$namespace",app_kubernetes_io_instance=~"$release"'
"""Selects one installation. Outside of Kubernetes no series has these labels and the variables are empty, which matches all."""
WHO = 'client=~"$client",purpose=~"$purpose",region=~"$region"'
WHAT = 'purpose=~"$purpose",region=~"$region"'
RATE = "$__rate_interval"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """Graph of the board.

    Attributes:
        queries: PromQL by legend.
        unit: name of a unit in Grafana.
        red_above, red_below: threshold that is drawn red.
        runbook: name of the page in docs/runbooks/ that the graph links to.
        says: description that Grafana shows beside the title.
    """

    title: str
    queries: dict[str, str]
    unit: str
    red_above: float | None = None
    red_below: float | None = None
    runbook: str = ""
    says: str = ""


def _rate(metric: str, labels: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[{RATE}]))"


def _quantiles(metric: str, labels: str) -> dict[str, str]:
    return {
        f"p{int(share * 100)}": f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{{{labels}}}[{RATE}])))"
        for share in (0.5, 0.9, 0.99)
    }


STARTED, VERIFIED = "waitcall_verifications_started_total", "waitcall_verifications_verified_total"
FINISHED = "waitcall_verifications_finished_total"
EXPIRED = f'{FINISHED}{{{WHO},status="expired"}}'
CALLED = f"sum(increase({VERIFIED}{{{WHO}}}[30m]))"

ROWS: dict[str, list[Panel]] = {
    "Funnel": [
        Panel(
            "Shown, called, consumed",
            {
                "shown": f"sum(rate({STARTED}{{{WHO}}}[{RATE}]))",
                "called": f"sum(rate({VERIFIED}{{{WHO}}}[{RATE}]))",
                "consumed": f'sum(rate({FINISHED}{{{WHO},status="consumed"}}[{RATE}]))',
            },
            "reqps",
            runbook="callbacks-silent",
            says="Verifications a second. The lines are close together when people call and clients consume.",
        ),
        Panel("Finished, by status", {"{{status}}": _rate(FINISHED, WHO, "status")}, "reqps"),
        Panel("Not called or not redeemed, by reason", {"{{reason}}": _rate(FINISHED, f'{WHO},status!="consumed"', "reason")}, "reqps"),
    ],
    "Conversion and time to call": [
        Panel(
            "Share of people who called the number shown (30 min)",
            {"conversion": f"{CALLED} / ({CALLED} + sum(increase({EXPIRED}[30m])))"},
            "percentunit",
            red_below=0.5,
            runbook="conversion-collapse",
        ),
        Panel(
            "Share of people who called, by region (30 min)",
            {
                "{{region}}": f"sum by (region) (increase({VERIFIED}{{{WHO}}}[30m])) / (sum by (region) (increase({VERIFIED}{{{WHO}}}[30m]))"
                f" + (sum by (region) (increase({EXPIRED}[30m])) or sum by (region) (increase({VERIFIED}{{{WHO}}}[30m])) * 0))"
            },
            "percentunit",
            red_below=0.5,
            runbook="unverified-region",
        ),
        Panel("Time from showing the number to the call", _quantiles("waitcall_time_to_call_seconds", WHAT), "s", says="Only people who called are counted."),
    ],
    "Provider": [
        Panel(
            "Orders, by outcome",
            {"{{outcome}}": _rate("waitcall_provider_requests_total", 'operation="wait_call"', "outcome")},
            "reqps",
            runbook="provider-failing",
        ),
        Panel(
            "Duration of orders",
            _quantiles("waitcall_provider_request_duration_seconds", 'operation="wait_call"'),
            "s",
            red_above=3,
            runbook="provider-slow",
        ),
        Panel("Numbers given, by provider", {"{{provider}} {{outcome}}": _rate("waitcall_orders_total", "", "provider, outcome")}, "reqps", says="After `failed` the service asked the next provider of the route, or refused the create."),
        Panel("Provider balance", {"balance": "max(waitcall_provider_balance)"}, "none", runbook="balance-low"),
        Panel("Other requests", {"{{operation}} {{outcome}}": _rate("waitcall_provider_requests_total", 'operation!="wait_call"', "operation, outcome")}, "reqps"),
    ],
    "Codes": [
        Panel("Codes sent, by region", {"{{region}}": _rate("waitcall_codes_sent_total", WHO, "region")}, "reqps", runbook="codes-unused", says="Each code costs money."),
        Panel("Delivery reports of codes", {"{{delivery}}": _rate("waitcall_code_reports_total", 'region=~"$region"', "delivery")}, "reqps", runbook="codes-undelivered"),
        Panel("Codes checked, by outcome", {"{{outcome}}": _rate("waitcall_code_checks_total", WHO, "outcome")}, "reqps"),
        Panel("Fallbacks, by channel", {"{{channel}}": _rate("waitcall_fallbacks_total", WHO, "channel")}, "reqps"),
    ],
    "Callbacks": [
        Panel(
            "Callbacks, by outcome",
            {"{{kind}} {{outcome}}": _rate("waitcall_callbacks_total", "", "kind, outcome")},
            "reqps",
            runbook="bad-signatures",
        ),
        Panel("Time from the call to its callback", _quantiles("waitcall_callback_lag_seconds", ""), "s", red_above=10, runbook="callbacks-stale"),
        Panel("Found in the inbox, by outcome", {"{{outcome}}": _rate("waitcall_inbox_calls_total", "", "outcome")}, "reqps", says="The callback of a `confirmed` call was lost."),
        Panel(
            "Callbacks slower than a second",
            {
                "share": f'1 - sum(rate(waitcall_http_request_duration_seconds_bucket{{route="/callbacks/smsc",le="1.0"}}[{RATE}]))'
                f' / sum(rate(waitcall_http_request_duration_seconds_count{{route="/callbacks/smsc"}}[{RATE}]))'
            },
            "percentunit",
            red_above=0.01,
            runbook="visibility-burn",
        ),
    ],
    "Abuse": [
        Panel("Limits: denied, or would be denied", {"{{scope}} {{decision}}": _rate("waitcall_rate_limit_decisions_total", 'decision!="allow"', "scope, decision")}, "reqps"),
        Panel("Contested", {"{{purpose}}": _rate("waitcall_verifications_contested_total", WHO, "purpose")}, "reqps", runbook="contested"),
        Panel("Conversion guard", {"{{group}} {{decision}}": _rate("waitcall_conversion_guard_decisions_total", 'region=~"$region"', "group, decision")}, "reqps"),
        Panel("Shown numbers, by region", {"{{region}}": f"topk(10, {_rate(STARTED, WHO, 'region')})"}, "reqps", runbook="unverified-region"),
    ],
    "Callers": [
        Panel("Refused, by client and code", {"{{client}} {{code}}": _rate("waitcall_refusals_total", 'client=~"$client"', "client, code")}, "reqps"),
        Panel(
            "Verified and never consumed (1 h)",
            {"{{client}}": f'sum by (client) (increase({FINISHED}{{{WHO},status="lapsed"}}[1h])) / sum by (client) (increase({VERIFIED}{{{WHO}}}[1h]))'},
            "percentunit",
            red_above=0.1,
            runbook="lapsed",
        ),
        Panel("Webhooks, by endpoint and outcome", {"{{endpoint}} {{outcome}}": _rate("waitcall_webhook_deliveries_total", "", "endpoint, outcome")}, "reqps"),
        Panel(
            "Webhook events waiting",
            {"{{state}}": "max by (state) (waitcall_webhook_backlog)", "oldest, s": "max(waitcall_webhook_oldest_seconds)"},
            "none",
            red_above=60,
            runbook="webhook-backlog",
        ),
    ],
    "Service": [
        Panel("Requests, by route", {"{{method}} {{route}}": _rate("waitcall_http_requests_total", 'route!~"/metrics|/livez|/readyz"', "method, route")}, "reqps"),
        Panel("Answers 5xx, by code", {"{{code}}": _rate("waitcall_failures_total", "", "code")}, "reqps", red_above=0.1, runbook="availability-burn"),
        Panel(
            "Duration of reads without waiting, creates and consumes",
            {
                "p99 {{route}}": f'histogram_quantile(0.99, sum by (le, route) (rate(waitcall_http_request_duration_seconds_bucket{{route=~"/v1/.*"}}[{RATE}])))'
            },
            "s",
            says="The duration of a long poll includes its waiting.",
        ),
        Panel("Redis errors, by operation", {"{{operation}}": _rate("waitcall_redis_errors_total", "", "operation")}, "reqps", red_above=0.01, runbook="store-failing"),
        Panel("Term of the leading worker", {"fence": "max(waitcall_leader_fence)"}, "none", red_below=1, runbook="no-leader"),
        Panel("Time since each worker loop last succeeded", {"{{loop}}": "time() - max by (loop) (waitcall_worker_loop_timestamp_seconds)"}, "s", red_above=30, runbook="sweep-stalled"),
        Panel("Versions", {"{{version}}": "count by (version) (waitcall_build_info)"}, "none", says="During a release there are two."),
    ],
}  # fmt: skip


def board() -> dict[str, Any]:
    """Return the board as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append(
            {"type": "row", "id": len(panels) + 1, "title": title, "gridPos": _at(0, y, 24, 1), "panels": []}
        )
        y += 1
        width = 24 // min(len(row), 4)
        for index, panel in enumerate(row):
            place = _at(index % 4 * width, y + index // 4 * 8, width, 8)
            panels.append(_graph(len(panels) + 1, panel, place))
        y += (len(row) + 3) // 4 * 8
    return {
        "uid": "waitcall",
        "title": "waitcall",
        "tags": ["waitcall"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "graphTooltip": 1,
        "templating": {
            "list": [
                _source(),
                _installation("namespace", "namespace", "waitcall_build_info"),
                _installation(
                    "release", "app_kubernetes_io_instance", 'waitcall_build_info{namespace=~"$namespace"}'
                ),
                *(_variable(name) for name in ("client", "purpose", "region")),
            ]
        },
        "annotations": {"list": []},
        "panels": panels,
    }


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _graph(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_above is not None:
        steps.append({"color": "red", "value": panel.red_above})
    if panel.red_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.red_below}]
    drawn = len(steps) > 1
    links = [{"title": "Runbook", "url": f"docs/runbooks/{panel.runbook}.md", "targetBlank": True}]
    return {
        "type": "timeseries",
        "id": number,
        "title": panel.title,
        "description": panel.says,
        "datasource": SOURCE,
        "gridPos": place,
        "links": links if panel.runbook else [],
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": {"thresholdsStyle": {"mode": "dashed" if drawn else "off"}, "fillOpacity": 8},
            },
            "overrides": [],
        },
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(65 + index), "expr": _selected(query), "legendFormat": legend, "datasource": SOURCE}
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _source() -> dict[str, Any]:
    return {
        "name": "datasource",
        "type": "datasource",
        "query": "prometheus",
        "label": "Prometheus",
        "hide": 0,
    }


def _installation(name: str, label: str, series: str) -> dict[str, Any]:
    """Variable that shows one installation at first. It has no "All", whose sums would mix installations unasked."""
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": f"label_values({series}, {label})", "refId": name},
        "refresh": 2,
        "includeAll": False,
        "multi": True,
        "current": {},
    }


def _variable(label: str) -> dict[str, Any]:
    return {
        "name": label,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": f"label_values({_selected(STARTED)}, {label})", "refId": label},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _selected(query: str) -> str:
    """Add the selector of the installation to every series of a query."""
    marked = re.sub(r"waitcall_[a-z_]+", lambda series: f"{series[0]}{{{RELEASE}}}", query)
    return marked.replace("}{}", "}").replace("}{", ",")


def written() -> str:
    """Return the text of the board's file."""
    return json.dumps(board(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    BOARD.write_text(written(), encoding="utf-8")
    sys.stdout.write(f"{BOARD.name}\n")
