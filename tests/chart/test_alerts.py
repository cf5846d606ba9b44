"""Test with promtool that each alert rule of the chart fires when it should and only then."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: make chart-tools")

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "helm/waitcall/rules/waitcall.yaml"
WHOSE = 'client="web",purpose="login",region="RU"'
STARTED = f"waitcall_verifications_started_total{{{WHOSE}}}"
VERIFIED = f"waitcall_verifications_verified_total{{{WHOSE}}}"
EXPIRED = f'waitcall_verifications_finished_total{{{WHOSE},status="expired",reason="no_call"}}'
LAPSED = f'waitcall_verifications_finished_total{{{WHOSE},status="lapsed",reason="not_consumed"}}'
CONTESTED = f"waitcall_verifications_contested_total{{{WHOSE}}}"
CALLBACKS = 'waitcall_callbacks_total{{kind="call",outcome="{}"}}'
ORDERS = 'waitcall_provider_requests_total{{operation="wait_call",outcome="{}"}}'
OWN_ORDERS = 'waitcall_orders_total{{provider="own",outcome="{}"}}'
ORDER_SECONDS = 'waitcall_provider_request_duration_seconds_bucket{{operation="wait_call",le="{}"}}'
REQUESTS = 'waitcall_http_requests_total{route="/v1/verifications",method="POST",status="201"}'
FAILURES = 'waitcall_failures_total{{code="{}"}}'
WITHIN = 'waitcall_http_request_duration_seconds_bucket{route="/callbacks/smsc",method="GET",le="1.0"}'
ANSWERED = 'waitcall_http_request_duration_seconds_count{route="/callbacks/smsc",method="GET"}'
CODES_SENT = f"waitcall_codes_sent_total{{{WHOSE}}}"
CHECKED = f'waitcall_code_checks_total{{{WHOSE},outcome="correct"}}'
REPORTS_FAILED = 'waitcall_code_reports_total{region="RU",delivery="failed"}'
SWEPT = 'waitcall_worker_loop_timestamp_seconds{loop="sweep"}'


@dataclass(frozen=True)
class Case:
    """An alert, with series that make it fire and series that do not.

    The series are in promtool's notation, with one value for each ``interval``.
    """

    alert: str
    at: str
    firing: dict[str, str]
    silent: dict[str, str]
    labels: dict[str, str]
    value: str = ""
    interval: str = "1m"


SIP_EVENTS, SIP_CALLS = 'waitcall_sip_events_total{{result="{}"}}', 'waitcall_sip_calls_total{{result="{}"}}'
RATIO, VOLUME = "waitcall:conversion:ratio30m", "waitcall:conversion:volume30m"


def balance(**workers: tuple[int, int]) -> dict[str, str]:
    """Return series of the worker that leads and of one that led: whether the balance is low, and its amount as they saw it."""
    fences = {"leads": 2, "led": 0}
    return {
        f'waitcall_{name}{{instance="{worker}"}}': f"{value}x60"
        for worker, (low, money) in workers.items()
        for name, value in (
            ("provider_balance_low", low),
            ("provider_balance", money),
            ("leader_fence", fences[worker]),
        )
    }


CASES = [
    Case(
        "WaitcallSipBacklog", "10m", {"waitcall_sip_queued": "200x10"}, {"waitcall_sip_queued": "20x10"}, {}
    ),
    Case(
        "WaitcallSipEventsLost",
        "20m",
        {SIP_EVENTS.format("refused"): "0+1x20", SIP_CALLS.format("queue_full"): "0x20"},
        {
            SIP_EVENTS.format("posted"): "0+1x20",
            SIP_EVENTS.format("refused"): "3x20",
            SIP_CALLS.format("queue_full"): "5x20",
        },
        {},
    ),
    Case(
        "WaitcallOwnNumbersUsedUp",
        "20m",
        {OWN_ORDERS.format("failed"): "0+1x30"},
        {OWN_ORDERS.format("failed"): "3x30", OWN_ORDERS.format("given"): "0+9x30"},
        {},
    ),
    Case(
        "WaitcallWrongNumbers",
        "30m",
        {CALLBACKS.format("wrong_number"): "0+2x40"},
        {CALLBACKS.format("wrong_number"): "0+1x40"},
        {},
    ),
    Case(
        "WaitcallCodesUndelivered",
        "50m",
        {CODES_SENT: "0+2x60", REPORTS_FAILED: "0+1x60"},
        {CODES_SENT: "0+2x60", REPORTS_FAILED: "0+0.2x60"},
        {"region": "RU"},
        "50%",
    ),
    Case(
        "WaitcallCodesUnused",
        "90m",
        {CODES_SENT: "0+2x100", CHECKED: "0+0.1x100"},
        {CODES_SENT: "0+2x100", CHECKED: "0+1x100"},
        {"region": "RU"},
    ),
    Case(
        "WaitcallCallbacksSilent",
        "20m",
        {STARTED: "0+5x40", CALLBACKS.format("confirmed"): "7x40"},
        {STARTED: "0+5x40", CALLBACKS.format("confirmed"): "0+1x40"},
        {},
    ),
    Case(
        "WaitcallConversionCollapse",
        "169h",
        {RATIO: "0.8x167 0.2x2", VOLUME: "100x170"},
        {RATIO: "0.8x167 0.6x2", VOLUME: "100x170"},
        {},
        interval="1h",
    ),
    Case(
        "WaitcallUnverifiedRegion",
        "26h",
        {EXPIRED: "0+10x160", VERIFIED: "0+5x160"},
        {EXPIRED: "0+1x160", VERIFIED: "0+5x160"},
        {"region": "RU"},
        interval="10m",
    ),
    Case(
        "WaitcallLapsed",
        "2h",
        {LAPSED: "0+1x200", VERIFIED: "0+5x200"},
        {LAPSED: "0+1x200", VERIFIED: "0+20x200"},
        {"client": "web"},
    ),
    Case(
        "WaitcallProviderFailing",
        "20m",
        {ORDERS.format("timeout"): "0+60x60", ORDERS.format("ok"): "0+60x60"},
        {ORDERS.format("bad_number"): "0+60x60", ORDERS.format("ok"): "0+60x60"},
        {},
        "50%",
    ),
    Case(
        "WaitcallProviderSlow",
        "30m",
        {ORDER_SECONDS.format("2.5"): "0x60", ORDER_SECONDS.format("5"): "0+60x60"}
        | {ORDER_SECONDS.format("+Inf"): "0+60x60"},
        {ORDER_SECONDS.format("2.5"): "0+60x60", ORDER_SECONDS.format("+Inf"): "0+60x60"},
        {},
    ),
    Case(
        "WaitcallBalanceLow",
        "45m",
        balance(leads=(1, 50), led=(0, 500)),
        balance(leads=(0, 500), led=(1, 50)),
        {},
    ),
    Case(
        "WaitcallBadSignatures",
        "20m",
        {CALLBACKS.format("bad_signature"): "0+30x60"},
        {CALLBACKS.format("bad_signature"): "0+3x60"},
        {},
    ),
    Case(
        "WaitcallCallbacksStale",
        "1h",
        {CALLBACKS.format("late"): "0+1x90", CALLBACKS.format("confirmed"): "0+9x90"},
        {CALLBACKS.format("unmatched"): "0+1x90", CALLBACKS.format("confirmed"): "0+9x90"},
        {},
    ),
    Case(
        "WaitcallContested",
        "30m",
        {CONTESTED: "0+1x60", STARTED: "0+100x60"},
        {CONTESTED: "0+0.1x60", STARTED: "0+100x60"},
        {"purpose": "login"},
    ),
    Case(
        "WaitcallStoreFailing",
        "10m",
        {'waitcall_redis_errors_total{operation="get"}': "0+5x20"},
        {'waitcall_redis_errors_total{operation="get"}': "9x20"},
        {},
    ),
    Case(
        "WaitcallUnreadableEntries",
        "10m",
        {'waitcall_unreadable_entries_total{where="lists"}': "0 1x20"},
        {'waitcall_unreadable_entries_total{where="lists"}': "3x20"},
        {"where": "lists"},
    ),
    Case("WaitcallSweepStalled", "20m", {SWEPT: "60x40"}, {SWEPT: "0+60x40"}, {}),
    Case(
        "WaitcallNoLeader",
        "10m",
        {"waitcall_leader_fence": "0x20"},
        {"waitcall_leader_fence": "7x20"},
        {},
    ),
    Case(
        "WaitcallWebhookBacklog",
        "20m",
        {"waitcall_webhook_oldest_seconds": "120x40"},
        {"waitcall_webhook_oldest_seconds": "30x40"},
        {},
    ),
    Case(
        "WaitcallAvailabilityBurn",
        "2h",
        {FAILURES.format("store_unavailable"): "0+2x200", REQUESTS: "0+100x200"},
        {FAILURES.format("provider_error"): "0+50x200", REQUESTS: "0+100x200"},
        {},
    ),
    Case(
        "WaitcallVisibilityBurn",
        "2h",
        {WITHIN: "0+70x200", ANSWERED: "0+100x200"},
        {WITHIN: "0+97x200", ANSWERED: "0+100x200"},
        {},
    ),
]


def groups() -> list[dict[str, Any]]:
    return list(yaml.safe_load(RULES.read_text())["groups"])


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in groups() for rule in group["rules"] if "alert" in rule}


def groups_of(alert: dict[str, Any], whole: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Return the rule groups (the plain ones if ``whole`` is None) reduced to one alert and the recorded series it reads."""

    def belongs(rule: dict[str, Any]) -> bool:
        return rule == alert or ("record" in rule and rule["record"] in alert["expr"])

    return [group | {"rules": list(filter(belongs, group["rules"]))} for group in whole or groups()]


def expected(case: Case) -> dict[str, Any]:
    rule = alerts()[case.alert]

    def told(text: str) -> str:
        text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: case.labels[found[1]], text)
        return re.sub(r"\{\{ \$value [^}]*\}\}", case.value, text)

    return {
        "exp_labels": rule["labels"] | case.labels,
        "exp_annotations": {name: told(text) for name, text in rule["annotations"].items()},
    }


def promtool_test(
    case: Case, series: dict[str, str], alerts_expected: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "interval": case.interval,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": case.at, "alertname": case.alert, "exp_alerts": alerts_expected},
        ],
    }


def run_promtool(directory: Path, files: list[str]) -> None:
    ran = subprocess.run(
        ["promtool", "test", "rules", *files], cwd=directory, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_a_case() -> None:
    assert sorted(alerts()) == sorted(case.alert for case in CASES)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    """A single promtool process tests all cases and names those that fail.

    Each case has a rule file of its own with the alert and the recorded series that it reads.
    """
    for case in CASES:
        rules = f"{case.alert}.rules.yaml"
        (tmp_path / rules).write_text(yaml.safe_dump({"groups": groups_of(alerts()[case.alert])}))
        tests = [promtool_test(case, case.firing, [expected(case)]), promtool_test(case, case.silent, [])]
        document = {"rule_files": [rules], "evaluation_interval": case.interval, "tests": tests}
        (tmp_path / f"{case.alert}.yaml").write_text(yaml.safe_dump(document))
    run_promtool(tmp_path, [f"{case.alert}.yaml" for case in CASES])


def of_release(series: dict[str, str], namespace: str, release: str) -> dict[str, str]:
    """Return the series with the labels that a ServiceMonitor gives them."""
    labels = f'namespace="{namespace}",app_kubernetes_io_instance="{release}"'
    found = {}
    for name, values in series.items():
        metric, _, rest = name.partition("{")
        found[f"{metric}{{{labels},{rest}" if rest else f"{metric}{{{labels}}}"] = values
    return found


def rules_of_release(namespace: str, release: str) -> dict[str, dict[str, Any]]:
    """Return the groups of the PrometheusRule that the chart makes for a release, by the alert that each is reduced to."""
    helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
    values = {
        "secret": {"existingSecret": "s"},
        "prometheusRule": {"enabled": True, "runbookBase": "https://runbooks.example.org/"},
    }
    chart = helm.Chart.load(str(ROOT / "helm/waitcall"))
    rendered = chart.render(values, name=release, namespace=namespace)
    text = rendered["waitcall/templates/prometheusrule.yaml"]
    made = yaml.safe_load(text.replace("https://runbooks.example.org/", "docs/runbooks/"))["spec"]["groups"]
    named = {rule["alert"]: rule for group in made for rule in group["rules"] if "alert" in rule}
    return {name: {"groups": groups_of(rule, made)} for name, rule in named.items()}


# The failing release, and another one in another namespace or beside it.
FAILING = ("calls", "web")
OTHERS = [("other", "web"), ("calls", "shop")]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("other", OTHERS, ids="/".join)
def test_of_two_releases_in_one_prometheus_each_alert_names_the_failing_one(
    tmp_path: Path, other: tuple[str, str]
) -> None:
    """Each release has the rules that the chart makes for it. The series of the other one must not hide the failure."""
    made = {release: rules_of_release(*release) for release in (FAILING, other)}
    labels = dict(zip(("namespace", "app_kubernetes_io_instance"), FAILING, strict=True))
    for case in CASES:
        files = []
        for number, release in enumerate(made):
            files.append(f"{case.alert}-{number}.rules.yaml")
            (tmp_path / files[-1]).write_text(yaml.safe_dump(made[release][case.alert]))
        series = of_release(case.firing, *FAILING) | of_release(case.silent, *other)
        told = expected(case)
        told["exp_labels"] = told["exp_labels"] | labels
        document = {"rule_files": files, "evaluation_interval": case.interval}
        tests = [promtool_test(case, series, [told])]
        (tmp_path / f"{case.alert}.yaml").write_text(yaml.safe_dump(document | {"tests": tests}))
    run_promtool(tmp_path, [f"{case.alert}.yaml" for case in CASES])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_the_plain_rules_tell_two_releases_apart_too(tmp_path: Path) -> None:
    labels = dict(zip(("namespace", "app_kubernetes_io_instance"), FAILING, strict=True))
    for case in CASES:
        (tmp_path / f"{case.alert}.rules.yaml").write_text(
            yaml.safe_dump({"groups": groups_of(alerts()[case.alert])})
        )
        series = of_release(case.firing, *FAILING) | of_release(case.silent, *OTHERS[0])
        told = expected(case)
        told["exp_labels"] = told["exp_labels"] | labels
        document = {"rule_files": [f"{case.alert}.rules.yaml"], "evaluation_interval": case.interval}
        tests = [promtool_test(case, series, [told])]
        (tmp_path / f"{case.alert}.yaml").write_text(yaml.safe_dump(document | {"tests": tests}))
    run_promtool(tmp_path, [f"{case.alert}.yaml" for case in CASES])


BUILD = 'waitcall_build_info{version="1"}'


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("series", [{BUILD: "1x20"}, {}], ids=["serves", "gone"])
@pytest.mark.parametrize("other", OTHERS, ids="/".join)
def test_a_release_without_workers_has_no_leader_although_another_has(
    tmp_path: Path, other: tuple[str, str], series: dict[str, str]
) -> None:
    (case,) = [case for case in CASES if case.alert == "WaitcallNoLeader"]
    files = []
    for release in (FAILING, other):
        files.append(f"{'-'.join(release)}.rules.yaml")
        (tmp_path / files[-1]).write_text(yaml.safe_dump(rules_of_release(*release)[case.alert]))
    told = expected(case)
    told["exp_labels"] |= dict(zip(("namespace", "app_kubernetes_io_instance"), FAILING, strict=True))
    healthy = of_release({BUILD: "1x20", "waitcall_leader_fence": "7x20"}, *other)
    tests = [promtool_test(case, of_release(series, *FAILING) | healthy, [told])]
    document = {"rule_files": files, "evaluation_interval": case.interval, "tests": tests}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(document))
    run_promtool(tmp_path, ["tests.yaml"])


def test_each_alert_has_a_runbook_with_its_four_parts_in_order() -> None:
    for name, rule in alerts().items():
        page = (ROOT / rule["annotations"]["runbook_url"]).read_text()
        assert page.startswith(f"# {name}\n")
        heads = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")]
        assert heads == ["What it means", "Who is affected", "What to look at", "What to do"], name
