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
TARGET = f'{RELEASE},job=~"$job",instance=~"$instance"'
"""Selects the scraped series of one installation. Alerts and recorded series have neither job nor instance."""
WHO = 'client=~"$client",purpose=~"$purpose",region=~"$region"'
WHAT = 'purpose=~"$purpose",region=~"$region"'
RATE = "$__rate_interval"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
PER_MINUTE = "suffix: /min"
SHARE = "percentunit"
LINE = 3
"""Most graphs side by side."""
TILE_HEIGHT, GRAPH_HEIGHT, WHOLE = 4, 8, 24

Steps = tuple[tuple[float | None, str], ...]


@dataclass(frozen=True)
class Panel:
    """Graph of the board.

    Attributes:
        queries: PromQL by legend.
        unit: name of a unit in Grafana.
        shows: what is drawn.
        normal: how it looks in a healthy installation.
        otherwise: what to do if it looks different.
        runbook: name of the page in docs/runbooks/.
        steps: lowest value and colour of each threshold, the lowest first.
        empty: text instead of "No data".
    """

    title: str
    queries: dict[str, str]
    unit: str
    shows: str
    normal: str
    otherwise: str
    runbook: str = ""
    steps: Steps = ()
    empty: str = "Nothing in this time"

    @property
    def description(self) -> str:
        """Text that Grafana shows next to the title. The chart makes a link of the runbook's name."""
        parts = [self.shows, f"Normal: {self.normal}", f"Otherwise: {self.otherwise}"]
        return "\n\n".join([*parts, f"Runbook: {self.runbook}"] if self.runbook else parts)


@dataclass(frozen=True)
class Tile(Panel):
    """One value in a colour. ``words`` are shown instead of values."""

    words: tuple[tuple[int, str], ...] = ()


def _counted(metric: str, labels: str, by: str = "", times: int = 60) -> str:
    """Events a minute, for those labels only that counted something in the time shown."""
    series, grouped = f"{metric}{{{labels}}}", f" by ({by}) " if by else ""
    return f"sum{grouped}(rate({series}[{RATE}])) * {times} and sum{grouped}(increase({series}[$__range] @ end())) > 0"


def _by_route(query: str) -> str:
    """Shorten the routes of one verification, so that legends can show what differs."""
    return f'label_replace({query}, "route", "…/ID$1", "route", "/v1/verifications/<.+>(.*)")'


def _slowest(labels: str) -> str:
    rates = f"sum by (le, method, route) (rate({SECONDS}_bucket{{{labels}}}[{RATE}]))"
    return _by_route(f"histogram_quantile(0.95, {rates}) > 0")


def _per_minute(metric: str, labels: str) -> str:
    """Events a minute. A counter without a series has counted nothing."""
    return f"sum(rate({metric}{{{labels}}}[{RATE}])) * 60 or vector(0)"


def _quantiles(metric: str, labels: str) -> dict[str, str]:
    return {
        f"p{int(share * 100)}": f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{{{labels}}}[{RATE}])))"
        for share in (0.5, 0.95, 0.99)
    }


def _failed(metric: str, labels: str, bad: str, window: str) -> str:
    """Share of events that are not bad. Without events there is no value."""
    return (
        f"1 - (sum(increase({metric}{{{labels},{bad}}}[{window}])) or vector(0))"
        f" / (sum(increase({metric}{{{labels}}}[{window}])) > 0)"
    )


def _called(by: str = "") -> str:
    """Share of people who called, of those whose verification ended within 30 minutes."""
    called = f"sum{by}(increase({VERIFIED}{{{WHO}}}[30m]))"
    not_called = f'sum{by}(increase({FINISHED}{{{WHO},status="expired"}}[30m]))'
    # A region in which nobody called, or everybody did, has only one of the two series.
    both = f"({called} or {not_called} * 0)", f"({not_called} or {called} * 0)"
    return f"{both[0]} / ({both[0]} + {both[1]} > 0)"


STARTED, VERIFIED = "waitcall_verifications_started_total", "waitcall_verifications_verified_total"
FINISHED = "waitcall_verifications_finished_total"
REQUESTS, SECONDS = "waitcall_http_requests_total", "waitcall_http_request_duration_seconds"
CREATE = 'route="/v1/verifications",method="POST"'
ORDER = 'operation=~"wait_call|callcheck_add"'
# Outcomes that are the fault of the number, not of the provider.
ORDER_FAILED = 'outcome!~"ok|bad_number|number_refused"'
CALLBACK = 'route=~"/callbacks/.*"'
OWN_CALLS, OWN_CALLBACK = "waitcall_own_calls_total", 'route=~"/callbacks/(?:sip|telnyx|twilio)"'
SIP_CALLS, SIP_EVENTS = "waitcall_sip_calls_total", "waitcall_sip_events_total"
NO_OWN = "No call to an own number in this time"
NO_SIP = "No SIP proxy, or no call in this time"
CALLED_BACK = 'waitcall_callbacks_total{kind=~"call|sms"}'
# Without enough numbers shown, silence means nothing. Without a callback in six hours the age is six hours.
SILENCE = (
    f"(time() - max(max_over_time(timestamp(sum(increase({CALLED_BACK}[2m])) > 0)[6h:1m])) or vector(21600))"
    f" and on () sum(increase({STARTED}[30m])) > 10"
)
PROCESSES = "up and on (job) last_over_time(waitcall_build_info[1d])"
ALERTS = 'ALERTS{alertname=~"Waitcall.+",alertstate="firing"}'
# A scrape may be later than the time of the query.
LOOPS = "clamp_min(time() - max by (loop) (waitcall_worker_loop_timestamp_seconds), 0)"

GREEN_ZERO: Steps = ((None, "green"), (0.5, "red"))

ROWS: dict[str, list[Panel]] = {
    "Is it healthy now?": [
        Tile(
            "Alerts firing",
            # Without the rules there is no value, because then zero alerts would mean nothing.
            {"": f"count({ALERTS}) or 0 * count(waitcall:errors:ratio5m)"},
            "none",
            "Alerts of this installation that fire now. Without a value Prometheus has not loaded the rules, or no request has come yet.",
            "0.",
            "read which, in the row *Processes and alerts*, and open the runbook of each.",
            steps=GREEN_ZERO,
            empty="no rules",
        ),
        Tile(
            "Creates that succeed (5 min)",
            {"": _failed(REQUESTS, CREATE, 'status=~"5.."', "5m")},
            SHARE,
            "Share of creates that were not answered with 5xx. Refusals (4xx) count as answered.",
            "99 % or more.",
            "compare *Orders that succeed* and *Redis errors*: one of them is usually the cause. *Answers 5xx, by code* names it.",
            "availability-burn",
            ((None, "red"), (0.95, "orange"), (0.99, "green")),
            "no creates",
        ),
        Tile(
            "Orders that succeed (5 min)",
            {"": _failed("waitcall_provider_requests_total", ORDER, ORDER_FAILED, "5m")},
            SHARE,
            "Share of orders for a number that the providers fulfilled. Numbers that they do not accept are no failure.",
            "98 % or more.",
            "the row *Provider* has the outcomes.",
            "provider-failing",
            ((None, "red"), (0.9, "orange"), (0.98, "green")),
            "no orders",
        ),
        Tile(
            "Since the last callback",
            {"": SILENCE},
            "s",
            "Time since a provider last reported a call or a text, to about a minute. It has a value only while more than ten numbers were shown in 30 minutes.",
            "a few minutes at most.",
            "nobody's call is seen. Call a number yourself, and follow the runbook.",
            "callbacks-silent",
            ((None, "green"), (600, "orange"), (900, "red")),
            "too quiet to tell",
        ),
        Tile(
            "People who called (30 min)",
            {"": _called()},
            SHARE,
            "Share of people who called the number shown, of those whose verification ended.",
            "what it is on other days at this hour. 50 % is a start: set your own threshold after two weeks.",
            "look whether one region, client or purpose is the reason (row *People*).",
            "conversion-collapse",
            ((None, "red"), (0.5, "green")),
            "nobody yet",
        ),
        Tile(
            "Duration of creates, p95 (5 min)",
            {"": f"histogram_quantile(0.95, sum by (le) (rate({SECONDS}_bucket{{{CREATE}}}[5m]))) > 0"},
            "s",
            "Time within which 95 % of creates were answered. Most of it is the provider's.",
            "below 2 s.",
            "compare *Duration of orders*: if it is the same, the provider is slow.",
            "provider-slow",
            ((None, "green"), (2, "orange"), (3, "red")),
            "no creates",
        ),
        Tile(
            "Processes that answer",
            # No process is 0 %, which is red. An empty tile would have no colour.
            {"": f"avg({PROCESSES}) or vector(0)"},
            SHARE,
            "Share of this installation's targets (process trees of the service, and workers) that Prometheus can scrape.",
            "100 %. Less for a minute during a release.",
            "look at the pods or units that are missing: `kubectl get pods`, `systemctl status`.",
            steps=((None, "red"), (0.5, "orange"), (1, "green")),
        ),
        Tile(
            "Redis errors (5 min)",
            {"": "sum(increase(waitcall_redis_errors_total[5m])) or vector(0)"},
            "none",
            "Steps at Redis that failed. While Redis fails, creates, callbacks and consumes are refused.",
            "0. A failover causes a few.",
            "the row *Redis and failures* has the operations.",
            "store-failing",
            GREEN_ZERO,
        ),
        Tile(
            "Leading workers",
            {"": "count(waitcall_leader_fence > 0) or vector(0)"},
            "none",
            "Workers that lead. The leader finds calls whose callback was lost.",
            "1. For seconds none or two while the lead changes.",
            "start a worker, or read its log.",
            "no-leader",
            ((None, "red"), (1, "green"), (2, "orange")),
        ),
        Tile(
            "Slowest worker loop",
            {"": f"max({LOOPS})"},
            "s",
            "Time since the worker loop that is furthest behind last succeeded, over all workers.",
            "below 10 s, and one scrape interval.",
            "read the worker's log. Without its loops, expiries and webhooks come late.",
            "sweep-stalled",
            ((None, "green"), (60, "orange"), (120, "red")),
            "no worker",
        ),
        Tile(
            "Balance at the provider",
            {"": "max(waitcall_provider_balance_low and waitcall_leader_fence > 0)"},
            "none",
            "Whether the balance is below `WAITCALL_LOW_BALANCE`, as the leading worker last saw it. The graph in the row *Provider* has the amount.",
            "enough.",
            "top up the account. With nothing left every order fails.",
            "balance-low",
            GREEN_ZERO,
            "unknown",
            ((0, "enough"), (1, "low")),
        ),
        Tile(
            "Oldest waiting webhook",
            {"": "max(waitcall_webhook_oldest_seconds)"},
            "s",
            "Age of the oldest event that waits for an attempt to deliver it.",
            "below 30 s.",
            "an endpoint is down or slow: the row *Webhooks* names it.",
            "webhook-backlog",
            ((None, "green"), (30, "orange"), (60, "red")),
            "no webhooks",
        ),
    ],
    "People: do they call, and is the proof used?": [
        Panel(
            "Started, proven, used",
            {
                "started": _per_minute(STARTED, WHO),
                "proven": _per_minute(VERIFIED, WHO),
                "used": _per_minute(FINISHED, f'{WHO},status="consumed"'),
            },
            PER_MINUTE,
            "Verifications: the number was shown, the call came, the client consumed the result.",
            "the three lines run close together.",
            "the first line that falls away says who fails: *started* the clients or the provider, *proven* the callbacks or the people, *used* the clients.",
            "callbacks-silent",
        ),
        Panel(
            "People who called, by region (30 min)",
            {"{{region}}": _called(" by (region) ")},
            SHARE,
            "Share of people who called the number shown, of those whose verification ended.",
            "steady in each region.",
            "one region alone: somebody starts verifications for numbers that are not theirs, or its networks do not connect the call.",
            "unverified-region",
            ((None, "red"), (0.5, "green")),
        ),
        Panel(
            "Time from the number to the call",
            _quantiles("waitcall_time_to_call_seconds", WHAT),
            "s",
            "How long people take to call. Only those who called are counted.",
            "half of them within 30 s.",
            "if it grows, people do not understand the page, or calls do not connect at once.",
        ),
        Panel(
            "Ended without use, by status and reason",
            {"{{status}}: {{reason}}": _counted(FINISHED, f'{WHO},status!="consumed"', "status, reason")},
            PER_MINUTE,
            "Verifications that expired, lapsed, failed or were canceled.",
            "mostly `expired: no_call`.",
            "the reason names the cause. docs/reference/api.md explains each.",
        ),
        Panel(
            "Proven and never used, by client (1 h)",
            {
                "{{client}}": f'sum by (client) (increase({FINISHED}{{{WHO},status="lapsed"}}[1h]))'
                f" / (sum by (client) (increase({VERIFIED}{{{WHO}}}[1h])) > 0) > 0"
            },
            SHARE,
            "Share of proven verifications that the client did not consume in time.",
            "no line, or below 10 %.",
            "ask the client's owners: their server misses results, or people leave.",
            "lapsed",
            ((None, "green"), (0.1, "red")),
        ),
    ],
    "Provider: does it give numbers?": [
        Panel(
            "Requests to the providers, by operation and outcome",
            {"{{operation}}: {{outcome}}": _counted("waitcall_provider_requests_total", "", "operation, outcome")},
            PER_MINUTE,
            "`wait_call` orders a number at SMSC, `callcheck_add` at sms.ru.",
            "`ok`. Some `bad_number` and `number_refused`, which are the number's fault.",
            "the outcome names the cause.",
            "provider-failing",
        ),
        Panel(
            "Duration of orders",
            _quantiles("waitcall_provider_request_duration_seconds", ORDER),
            "s",
            "Time until a provider answered an order.",
            "p95 below 3 s.",
            "look at the provider's status page, and at the network.",
            "provider-slow",
            ((None, "green"), (3, "red")),
        ),
        Panel(
            "Balance",
            {"balance": "max(waitcall_provider_balance and waitcall_leader_fence > 0)"},
            "short",
            "Money at the provider, in the account's currency, as the leading worker last saw it.",
            "falls slowly, and rises when it is topped up.",
            "a steep fall means many codes or calls: look at the row *Limits and abuse*.",
            "balance-low",
            empty="Unknown: no worker leads",
        ),
    ],
    "Callbacks: are calls reported?": [
        Panel(
            "Callbacks, by kind and outcome",
            {"{{kind}}: {{outcome}}": _counted("waitcall_callbacks_total", "", "kind, outcome")},
            PER_MINUTE,
            "What providers report, and what became of it.",
            "mostly `call: confirmed`. `status` reports belong to codes.",
            "`bad_signature` is a wrong secret or a forger. `late`, `early` and `repeated` are a slow provider. `unmatched` is a call that nobody waited for.",
            "bad-signatures",
        ),
        Panel(
            "Time from the call to its callback",
            _quantiles("waitcall_callback_lag_seconds", ""),
            "s",
            "How late the provider reports a call.",
            "p95 below 10 s.",
            "compare the clocks first (NTP), then ask the provider.",
            "callbacks-stale",
            ((None, "green"), (10, "red")),
        ),
        Panel(
            "Calls found in the inbox, by outcome",
            {"{{outcome}}": _counted("waitcall_inbox_calls_total", "", "outcome")},
            PER_MINUTE,
            "Calls that the worker read from the provider's inbox. `confirmed`: its callback was lost, and the inbox made up for it. `repeated`: the callback had come.",
            "mostly `repeated`.",
            "`confirmed` or `weak` means lost callbacks; many `other` mean forged texts.",
            "callbacks-silent",
        ),
    ],
    "Own numbers, only if you have some: do calls count?": [
        Panel(
            "Calls, by dialect and outcome",
            {"{{dialect}}: {{outcome}}": _counted(OWN_CALLS, "", "dialect, outcome")},
            PER_MINUTE,
            "Authentic reports of calls to the numbers in `[own_numbers]`, from Twilio, Telnyx or the SIP proxy.",
            "mostly `confirmed`. A few `repeated`, `late` and `unmatched`.",
            "one dialect that falls silent alone: look at its carrier, and call one of its numbers yourself.",
            empty=NO_OWN,
        ),
        Panel(
            "Wrong numbers and weak calls",
            {
                "wrong number": _per_minute(OWN_CALLS, 'outcome="wrong_number"'),
                "weak": _per_minute(OWN_CALLS, 'outcome="weak"'),
            },
            PER_MINUTE,
            "Wrong number: the caller waits for a call, but called another number of the pool. Weak: the call was right, but proves less than the purpose demands.",
            "0, or single calls: people misdial.",
            "many wrong numbers: somebody forges caller IDs and guesses. Weak calls alone: carriers do not sign, so offer another channel.",
            "wrong-numbers",
        ),
        Panel(
            "Calls, by attestation",
            {"{{attestation}}": _counted(OWN_CALLS, "", "attestation")},
            PER_MINUTE,
            "Level at which the carrier signed each call (STIR/SHAKEN). Only `A` without a sign of forwarding proves `network`.",
            "the usual mix of your countries. `none` where carriers do not sign.",
            "`A` falls away alone: the carrier stopped passing the signature on. `waitcall doctor` checks the routes.",
            empty=NO_OWN,
        ),
        Panel(
            "Orders for an own number",
            {
                "given": _per_minute("waitcall_orders_total", 'provider="own",outcome="given"'),
                "none left": _per_minute("waitcall_orders_total", 'provider="own",outcome="failed"'),
            },
            PER_MINUTE,
            "Verifications that were shown a number of the pool, and those for which none was left, because their subscriber was shown all of them lately.",
            "none left: 0.",
            "too few numbers, or somebody starts verifications of one number again and again. `waitcall numbers pool --phone-number` tells.",
            "own-numbers-used-up",
        ),
        Panel(
            "Reports refused at the door, by route and status",
            {
                "{{route}}: {{status}}": _counted(
                    REQUESTS, f'{OWN_CALLBACK},status=~"4..|5..",method="POST"', "route, status"
                )
            },
            PER_MINUTE,
            "Requests to the three routes that were not accepted: 403 is a wrong signature, 400 cannot be read, 503 could not be stored and comes again.",
            "none, or single requests of scanners.",
            "a steady 403 is a wrong secret or URL: run `waitcall doctor`. A 503 is Redis.",
            "bad-signatures",
            empty="No report was refused",
        ),
    ],
    "SIP proxy, only if you run one: are calls reported?": [
        Panel(
            "Calls at the SIP proxy, by result",
            {"{{result}}": _counted(SIP_CALLS, "", "result")},
            PER_MINUTE,
            "Calls from the trunk. `queued` calls are reported, all others are only refused.",
            "`queued`. A few `limited`.",
            "`limited`: one caller calls again and again. `no_user`, `unreadable`: the carrier sends something else than E.164. `queue_full`: waitcall is away.",
            "sip-events-lost",
            empty=NO_SIP,
        ),
        Panel(
            "Reports to waitcall, by result",
            {"{{result}}": _counted(SIP_EVENTS, "", "result")},
            PER_MINUTE,
            "What became of each report. `retried` reports wait and are sent again.",
            "`posted`.",
            "`retried`: waitcall does not answer. `refused`: the secrets differ. `expired`: waitcall was away for too long.",
            "sip-backlog",
            empty=NO_SIP,
        ),
        Panel(
            "Calls that were never reported",
            {
                "refused or expired": _per_minute(SIP_EVENTS, 'result=~"refused|expired"'),
                "queue full": _per_minute(SIP_CALLS, 'result="queue_full"'),
            },
            PER_MINUTE,
            "Calls that waitcall will never learn of. Their callers must call again.",
            "0.",
            "people call and stay unverified: the runbook has the causes.",
            "sip-events-lost",
        ),
        Panel(
            "Reports that wait",
            {"waiting": "max(waitcall_sip_queued)"},
            "none",
            "Reports that the proxy holds, because waitcall has not taken them yet.",
            "0, or a few for a second.",
            "waitcall does not answer the proxy. The reports are sent once it does.",
            "sip-backlog",
            ((None, "green"), (100, "red")),
            "No SIP proxy",
        ),
        Panel(
            "Signed caller IDs, by result of the check",
            {"{{result}}": _counted("waitcall_sip_identity_total", "", "result")},
            PER_MINUTE,
            "Calls with an `Identity` header. `A`, `B` and `C` are valid signatures, all other words are faults that make the call `asserted`.",
            "letters only. Nothing where the check is not switched on, or the carrier passes no signature on.",
            "`fetch`: certificates cannot be loaded. `time`: compare the clocks. `signature`, `certificate`: somebody forges, or the roots are old.",
            empty="No signed call in this time",
        ),
        Panel(
            "Requests from strangers",
            {"foreign": _per_minute("waitcall_sip_foreign_total", "")},
            PER_MINUTE,
            "SIP requests that come from no address of the trunk. They get no answer.",
            "scanners find every SIP port, so a few each minute.",
            "calls do not arrive and this rises: the carrier calls from a new address. Add it to `WAITCALL_SIP_TRUNK`.",
        ),
    ],
    "Codes: are they delivered and entered?": [
        Panel(
            "Codes sent, delivered, entered",
            {
                "sent": _counted("waitcall_codes_sent_total", WHO),
                "delivered": _counted("waitcall_code_reports_total", 'region=~"$region",delivery="delivered"'),
                "not delivered": _counted("waitcall_code_reports_total", 'region=~"$region",delivery="failed"'),
                "entered": _counted("waitcall_code_checks_total", f'{WHO},outcome="correct"'),
                "entered wrong": _counted("waitcall_code_checks_total", f'{WHO},outcome="incorrect"'),
            },
            PER_MINUTE,
            "Each code sent costs money.",
            "delivered and entered follow sent. None where only calls are used.",
            "sent without entered is somebody who pumps codes; not delivered is the provider or the network.",
            "codes-undelivered",
            empty="No codes in this time",
        ),
        Panel(
            "Codes sent, by region",
            {"{{region}}": _counted("waitcall_codes_sent_total", WHO, "region")},
            PER_MINUTE,
            "Codes that the provider accepted.",
            "the regions that you serve.",
            "a region that rises alone is being pumped.",
            "codes-unused",
            empty="No codes in this time",
        ),
        Panel(
            "Fallbacks, by channel",
            {"{{channel}}": _counted("waitcall_fallbacks_total", WHO, "channel")},
            PER_MINUTE,
            "People who went from the call to another channel.",
            "few.",
            "many fallbacks mean that calls do not get through: look at the row *Callbacks*.",
            empty="No fallbacks in this time",
        ),
    ],
    "Limits and abuse: who is refused?": [
        Panel(
            "Limits and conversion guard, by decision",
            {
                "{{scope}}: {{decision}}": _counted("waitcall_rate_limit_decisions_total", 'decision!="allow"', "scope, decision"),
                "guard {{group}} {{region}}: {{decision}}": _counted(
                    "waitcall_conversion_guard_decisions_total", 'region=~"$region",decision!="allow"', "group, region, decision"
                ),
            },
            PER_MINUTE,
            "`deny` refused a request. `would_deny` is a limit that is only recorded.",
            "a few of `number` and `ip`.",
            "`country` or `global` refuse everybody: raise the limit, or find the client that floods. `waitcall explain NUMBER` tells about one person.",
            empty="No limit was reached",
        ),
        Panel(
            "Refused requests, by client and code",
            {"{{client}}: {{code}}": _counted("waitcall_refusals_total", 'client=~"$client"', "client, code")},
            PER_MINUTE,
            "Requests of known clients that were answered with 4xx.",
            "few, and the same codes every day.",
            "a code that is new after a release of the client is a mistake in it.",
            empty="No request was refused",
        ),
        Panel(
            "Signs of an attack",
            {
                "contested": _counted("waitcall_verifications_contested_total", WHO),
                "forged callbacks": _counted("waitcall_callbacks_total", 'outcome="bad_signature"'),
                "wrong codes": _counted("waitcall_code_checks_total", f'{WHO},outcome="incorrect"'),
            },
            PER_MINUTE,
            "Contested: two requesters asked for one number at once. Forged: callbacks with a wrong signature. Wrong codes: somebody guesses.",
            "none, or single events.",
            "a steady line is an attack, or a mistake in one client.",
            "contested",
            empty="No sign in this time",
        ),
    ],
    "Latency: how fast are the answers?": [
        Panel(
            "Duration by route, p95",
            {
                "{{method}} {{route}}": _slowest('route=~"/v1/.*",method!="GET"'),
                "callback by {{method}}": _slowest(CALLBACK),
            },
            "s",
            "Time within which 95 % of requests were answered. A create includes the provider's time. Reads are left out, because they wait for the call on purpose.",
            "consumes and callbacks below 0.1 s, creates below 2 s.",
            "all routes slow: CPU or Redis. Creates alone: the provider.",
        ),
        Panel(
            "Callbacks answered after more than a second",
            {
                "share": f'1 - sum(rate({SECONDS}_bucket{{{CALLBACK},le="1.0"}}[{RATE}]))'
                f" / (sum(rate({SECONDS}_count{{{CALLBACK}}}[{RATE}])) > 0)"
            },
            SHARE,
            "Share of callbacks that took longer than a second. Once a callback is answered, the person's page goes on.",
            "0.",
            "Redis or CPU: look at the rows below.",
            "visibility-burn",
            ((None, "green"), (0.01, "red")),
        ),
        Panel(
            "Requests, by route",
            {
                "{{method}} {{route}}": _by_route(
                    _counted(REQUESTS, 'route!~"/metrics|/livez|/readyz"', "method, route", times=1)
                )
            },
            "reqps",
            "Answered requests a second.",
            "the usual curve of the day.",
            "a jump of one route is a client that asks in a loop.",
        ),
    ],
    "Redis and failures: what breaks here?": [
        Panel(
            "Answers 5xx, by code",
            {"{{code}}": _counted("waitcall_failures_total", "", "code")},
            PER_MINUTE,
            "`provider_error` and `provider_unavailable` are the provider's failures, `store_unavailable` is Redis, `internal_error` is a bug.",
            "none.",
            "for `internal_error` look for the traceback in the log.",
            "availability-burn",
            empty="No failures in this time",
        ),
        Panel(
            "Redis errors, by operation",
            {"{{operation}}": _counted("waitcall_redis_errors_total", "", "operation")},
            PER_MINUTE,
            "Steps at Redis that failed.",
            "none.",
            "`waitcall doctor` repeats what Redis answers.",
            "store-failing",
            empty="No errors in this time",
        ),
        Panel(
            "Unreadable entries, by kind",
            {"{{where}}": _counted("waitcall_unreadable_entries_total", "", "where")},
            PER_MINUTE,
            "Entries in Redis that could not be read and were skipped.",
            "none.",
            "one of them may be a block. Something else writes to these keys, or a newer version did.",
            "unreadable-entries",
            empty="All entries could be read",
        ),
    ],
    "Webhooks: do clients take the events?": [
        Panel(
            "Deliveries, by endpoint and outcome",
            {"{{endpoint}}: {{outcome}}": _counted("waitcall_webhook_deliveries_total", "", "endpoint, outcome")},
            PER_MINUTE,
            "Attempts to deliver an event.",
            "`accepted`.",
            "ask the endpoint's owners. Failed attempts are repeated, and what is given up is kept as a dead letter.",
            "webhook-backlog",
            empty="No event was sent",
        ),
        Panel(
            "Events waiting, by state",
            {"{{state}}": "max by (state) (waitcall_webhook_backlog) and max by (state) (max_over_time(waitcall_webhook_backlog[$__range] @ end())) > 0"},
            "short",
            "Deliveries that have not succeeded. `retrying` failed at least once, `dead` are given up.",
            "none, or a few for seconds.",
            "`waitcall events dead` prints the dead ones, `waitcall events replay` sends them again.",
            "webhook-backlog",
            empty="Nothing waits",
        ),
        Panel(
            "Age of the oldest waiting event",
            {"oldest": "max(waitcall_webhook_oldest_seconds)"},
            "s",
            "Age of the oldest event that waits for an attempt.",
            "below 30 s.",
            "an endpoint is slow, or too few workers run.",
            "webhook-backlog",
            ((None, "green"), (60, "red")),
            "No worker, or no webhooks",
        ),
    ],
    "Processes and alerts: what runs, and what fires?": [
        Panel(
            "Processes, by version",
            {"{{version}}": "count by (version) (waitcall_build_info)"},
            "none",
            "Process trees of the service and workers that Prometheus can scrape.",
            "one version. Two during a release.",
            "two versions for long: the release is stuck.",
            empty="No process answers",
        ),
        Panel(
            "Time since each worker loop last succeeded",
            {"{{loop}}": LOOPS},
            "s",
            "The worker that is furthest ahead counts for each loop.",
            "below 10 s, and one scrape interval.",
            "read the worker's log.",
            "sweep-stalled",
            ((None, "green"), (60, "red")),
            "No worker answers",
        ),
        Panel(
            "Alerts firing, by name",
            {"{{alertname}}": f"sum by (alertname) ({ALERTS})"},
            "none",
            "Alerts of the rules that come with the chart.",
            "none.",
            "docs/runbooks/ has a page for each.",
            empty="No alert fired",
        ),
    ],
}  # fmt: skip


def board() -> dict[str, Any]:
    """Return the board as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS.items():
        panels.append(
            {
                "type": "row",
                "id": len(panels) + 1,
                "title": title,
                "gridPos": _at(0, y, WHOLE, 1),
                "panels": [],
            }
        )
        y += 1
        for line in _lines(row):
            height = TILE_HEIGHT if isinstance(line[0], Tile) else GRAPH_HEIGHT
            width = WHOLE // len(line)
            for index, panel in enumerate(line):
                panels.append(_drawn(len(panels) + 1, panel, _at(index * width, y, width, height)))
            y += height
    return {
        "uid": "waitcall",
        "title": "waitcall",
        "description": "Phone verification by an incoming call. The first row tells whether all is well.",
        "tags": ["waitcall"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "",
        "graphTooltip": 1,
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "panels": panels,
    }


def _lines(row: list[Panel]) -> list[list[Panel]]:
    most = 2 * LINE if isinstance(row[0], Tile) else LINE
    return [row[index : index + most] for index in range(0, len(row), most)]


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _drawn(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    tile = isinstance(panel, Tile)
    steps = panel.steps or ((None, "green"),)
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "noValue": panel.empty,
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": color, "value": value} for value, color in steps],
        },
    }
    if isinstance(panel, Tile):
        words = {
            str(value): {"text": text, "index": index} for index, (value, text) in enumerate(panel.words)
        }
        defaults["mappings"] = [{"type": "value", "options": words}] if words else []
        defaults["color"] = {"mode": "thresholds"}
        defaults["decimals"] = {SHARE: 1, "s": 1}.get(panel.unit, 0)
    else:
        style = {"mode": "dashed" if panel.steps else "off"}
        defaults["decimals"] = 0 if panel.unit == "none" else None
        defaults |= {"min": 0, "custom": {"thresholdsStyle": style, "fillOpacity": 8, "showPoints": "never"}}
    return {
        "type": "stat" if tile else "timeseries",
        "id": number,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "links": [],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _tile_options()
        if tile
        else {"legend": _legend(panel), "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {
                "refId": chr(65 + index),
                "expr": _selected(query),
                "legendFormat": legend,
                "datasource": SOURCE,
                **({"instant": True, "range": False} if tile else {}),
            }
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _tile_options() -> dict[str, Any]:
    return {
        "colorMode": "background",
        "graphMode": "none",
        "textMode": "value",
        "justifyMode": "center",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }


def _legend(panel: Panel) -> dict[str, Any]:
    """Legend of a graph: a table for labels that are not known before, and none for a single line."""
    if any("{{" in legend for legend in panel.queries):
        return {
            "displayMode": "table",
            "calcs": ["lastNotNull", "max"],
            "placement": "bottom",
            "showLegend": True,
        }
    return {"displayMode": "list", "calcs": [], "placement": "bottom", "showLegend": len(panel.queries) > 1}


def _variables() -> list[dict[str, Any]]:
    source = {
        "name": "datasource",
        "type": "datasource",
        "query": "prometheus",
        "label": "Data source",
        "hide": 0,
    }
    build = f"waitcall_build_info{{{RELEASE}}}"
    return [
        source,
        # These two have no "All", whose sums would mix installations unasked.
        _variable("namespace", "label_values(waitcall_build_info, namespace)"),
        _variable(
            "release",
            'label_values(waitcall_build_info{namespace=~"$namespace"}, app_kubernetes_io_instance)',
        ),
        *(_variable(name, f"label_values({build}, {name})", every=True) for name in ("job", "instance")),
        *(
            _variable(name, f"label_values({_selected(STARTED)}, {name})", every=True)
            for name in ("client", "purpose", "region")
        ),
    ]


def _variable(name: str, query: str, *, every: bool = False) -> dict[str, Any]:
    """Variable with the values of a label. ``every``: it has an "All", which also selects series without the label."""
    everything = {"includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        **(everything if every else {"includeAll": False, "current": {}}),
    }


def _selected(query: str) -> str:
    """Add the selector of the installation to every series of a query."""
    # The proxy is a job of its own, which the variables do not list.
    whole, scraped = r"waitcall_sip_[a-z_]+|waitcall:[a-z0-9:]+|ALERTS", r"waitcall_(?!sip_)[a-z_]+|up"
    marked = re.sub(rf"\b(?:{scraped})\b", lambda series: f"{series[0]}{{{TARGET}}}", query)
    marked = re.sub(rf"\b(?:{whole})\b", lambda series: f"{series[0]}{{{RELEASE}}}", marked)
    return marked.replace("}{}", "}").replace("}{", ",")


def written() -> str:
    """Return the text of the board's file."""
    return json.dumps(board(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    BOARD.write_text(written(), encoding="utf-8")
    sys.stdout.write(f"{BOARD.name}\n")
