"""The chart, rendered by Helm itself: sound for Kubernetes, hardened, and deaf to misspelt values."""

import json
import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from development import chart_readme
from service.settings import NAMES, PREFIX

yaml = pytest.importorskip("yaml")
helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="make chart-tools")

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/waitcall"
EXAMPLES = sorted((CHART / "ci").glob("*.yaml"))
KUBERNETES = (*(pytest.param(older, marks=pytest.mark.slow) for older in ("1.29", "1.33")), "1.36")
WITHOUT_SCHEMA = {"ServiceMonitor", "PrometheusRule", "ExternalSecret", "HTTPRoute"}
"""Of custom resources: not in Kubernetes's own schemas. Their shape is asserted below."""
WORKLOADS = ("Deployment", "Pod")

example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


@cache
def chart() -> Any:
    return helm.Chart.load(str(CHART))


def values_of(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))


def render(values: dict[str, Any]) -> list[dict[str, Any]]:
    rendered = chart().render(values, name="rel", namespace="ns")
    texts = [text for name, text in rendered.items() if name.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [each for each in objects if each["kind"] in WORKLOADS]
    return [
        each["spec"]["template"]["spec"] if each["kind"] == "Deployment" else each["spec"] for each in found
    ]


def one(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def test_there_are_the_examples() -> None:
    assert [path.stem.removesuffix("-values") for path in EXAMPLES] == [
        *("cluster", "everything", "minimal", "production", "simulator")
    ]


@example
def test_helm_finds_nothing_to_say(path: Path) -> None:
    report = helm.lint(str(CHART), values_of(path), strict=True)
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["severity"] > 1] == []


@example
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_every_object(path: Path, version: str) -> None:
    objects = render(values_of(path))
    assert len(objects) > 8
    for each in objects:
        if each["kind"] not in WITHOUT_SCHEMA:
            kubernetes_validate.validate(each, version, strict=True)


@example
def test_every_pod_is_hardened(path: Path) -> None:
    for pod in pods(render(values_of(path))):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & {*pod}
        assert not any("hostPath" in volume for volume in pod["volumes"])
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= {*container["resources"]["requests"]}
            assert "memory" in container["resources"]["limits"]
            assert not container["image"].endswith(":latest")
            # Secrets come as files, or from a Secret: never as words in a manifest.
            assert not any(
                "SECRET" in each["name"] and "value" in each and "/" not in each["value"]
                for each in container.get("env", [])
            )


@example
def test_long_lived_pods_are_probed_spread_and_given_time(path: Path) -> None:
    for each in render(values_of(path)):
        if each["kind"] != "Deployment":
            continue
        pod = each["spec"]["template"]["spec"]
        assert [spread["topologyKey"] for spread in pod["topologySpreadConstraints"]] == [
            *("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        ]
        for container in pod["containers"]:
            assert {"livenessProbe", "readinessProbe"} <= {*container}
        main = pod["containers"][0]
        ports = {port["name"] for port in main["ports"]}
        assert main["livenessProbe"]["httpGet"]["port"] in ports
        assert main["livenessProbe"]["httpGet"]["path"] == "/livez"
        assert main["readinessProbe"]["httpGet"]["path"] == "/readyz"
        environment = {name["name"]: name.get("value") for name in main["env"]}
        if "lifecycle" in main:
            paused = int(main["lifecycle"]["preStop"]["exec"]["command"][1])
            ending = paused + int(environment["WAITCALL_DRAIN_SECONDS"]) + 30
            assert pod["terminationGracePeriodSeconds"] > ending


@example
def test_what_the_pods_are_told_are_settings_of_the_service(path: Path) -> None:
    known = {PREFIX + name for name in NAMES}
    for each in render(values_of(path)):
        if each["kind"] == "Deployment":
            (main, *_) = each["spec"]["template"]["spec"]["containers"]
            told = {name["name"].removesuffix("_FILE") for name in main["env"]}
            assert {name for name in told if name.startswith(PREFIX)} - known == set()
            assert {"WAITCALL_REDIS_URL", "WAITCALL_CALLBACK_SECRETS", "WAITCALL_POLICY"} <= told


def test_every_value_of_the_settings_reaches_every_pod() -> None:
    values = values_of(CHART / "ci/everything-values.yaml")
    settings = values_of(CHART / "values.yaml")["settings"] | values["settings"]
    told = {
        PREFIX + re.sub(r"([A-Z])", r"_\1", name).upper(): ",".join(value)
        if isinstance(value, list)
        else str(value)
        for name, value in settings.items()
    }
    deployments = [each for each in render(values) if each["kind"] == "Deployment"]
    assert len(deployments) == 2
    for pod in pods(deployments):
        environment = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
        assert told.items() <= environment.items()


@example
def test_network_policies_open_the_ports_that_are_there_and_no_other(path: Path) -> None:
    objects = render(values_of(path))
    for policy in (each for each in objects if each["kind"] == "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]["matchLabels"]
        (deployment,) = [
            each
            for each in objects
            if each["kind"] == "Deployment" and each["spec"]["selector"]["matchLabels"] == selector
        ]
        containers = deployment["spec"]["template"]["spec"]["containers"]
        there = {port["containerPort"] for container in containers for port in container["ports"]}
        opened = policy["spec"]["ingress"] or []
        assert {port["port"] for rule in opened for port in rule["ports"]} <= there
        assert all(rule["from"] for rule in opened)
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    for service in (each for each in objects if each["kind"] == "Service"):
        selector = service["spec"]["selector"]
        (deployment,) = [
            each
            for each in objects
            if each["kind"] == "Deployment" and each["spec"]["selector"]["matchLabels"] == selector
        ]
        containers = deployment["spec"]["template"]["spec"]["containers"]
        names = {port["name"] for container in containers for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def test_the_tests_pod_is_let_in_where_only_callers_are() -> None:
    values = values_of(CHART / "ci/production-values.yaml") | {"test": {"apiKeySecret": "waitcall-test"}}
    objects = render(values)
    labels = one(objects, "Pod", "rel-waitcall-test")["metadata"]["labels"]
    rules = one(objects, "NetworkPolicy", "rel-waitcall")["spec"]["ingress"]
    (peers,) = [rule["from"] for rule in rules if rule["ports"][0]["port"] == 8080]
    chosen = [peer["podSelector"]["matchLabels"] for peer in peers if "podSelector" in peer]
    assert any(each.items() <= labels.items() for each in chosen)


@example
def test_nothing_but_the_callback_paths_is_public(path: Path) -> None:
    values = values_of(path)
    public = [("/callbacks/smsc", "Exact")]
    if values["secret"].get("keys", {}).get("smsruApiId"):
        public.append(("/callbacks/smsru", "Exact"))
    if values.get("settings", {}).get("publicUrl"):
        public.append(("/p", "Prefix"))
    for each in render(values_of(path)):
        if each["kind"] == "Ingress":
            (rule,) = each["spec"]["rules"]
            paths = rule["http"]["paths"]
            assert [(each["path"], each["pathType"]) for each in paths] == public
            assert {each["backend"]["service"]["name"].endswith("-callback") for each in paths} == {True}
        if each["kind"] == "HTTPRoute":
            (rule,) = each["spec"]["rules"]
            assert rule["matches"] == [
                {"path": {"type": "Exact" if kind == "Exact" else "PathPrefix", "value": where}}
                for where, kind in public
            ]
            assert [ref["name"].endswith("-callback") for ref in rule["backendRefs"]] == [True]
        if each["kind"] == "Service":
            assert each["spec"]["type"] == "ClusterIP"


def test_the_autoscaler_alone_says_how_many_and_the_budget_knows_it() -> None:
    values = values_of(CHART / "ci/production-values.yaml")
    objects = render(values)
    assert "replicas" not in one(objects, "Deployment", "rel-waitcall")["spec"]
    budget = one(objects, "PodDisruptionBudget", "rel-waitcall")["spec"]["minAvailable"]
    assert budget < one(objects, "HorizontalPodAutoscaler", "rel-waitcall")["spec"]["minReplicas"]
    values["podDisruptionBudget"]["minAvailable"] = 4
    with pytest.raises(helm.HelmError, match="never let a node be drained"):
        render(values)


def test_custom_resources_have_what_their_operators_need() -> None:
    objects = render(values_of(CHART / "ci/everything-values.yaml"))
    rules = one(objects, "PrometheusRule", "rel-calls")["spec"]["groups"]
    assert rules == yaml.safe_load((CHART / "rules/waitcall.yaml").read_text())["groups"]
    for component, surface in (("serve", "ops"), ("worker", "worker-ops")):
        monitor = one(objects, "ServiceMonitor", f"rel-calls-{component}")["spec"]
        service = one(objects, "Service", f"rel-calls-{surface}")
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        assert {each["port"] for each in monitor["endpoints"]} <= {
            port["name"] for port in service["spec"]["ports"]
        }
    secret = one(objects, "ExternalSecret", "waitcall")["spec"]
    (volume,) = [
        volume
        for volume in pods([one(objects, "Deployment", "rel-calls")])[0]["volumes"]
        if volume["name"] == "secrets"
    ]
    brought = {each["secretKey"] for each in secret["data"]}
    assert brought == {item["key"] for item in volume["secret"]["items"]}
    board = one(objects, "ConfigMap", "rel-calls-dashboard")["data"]["waitcall.json"]
    assert json.loads(board) == json.loads((CHART / "dashboards/waitcall.json").read_text())


def test_a_changed_policy_rolls_the_pods() -> None:
    values = values_of(CHART / "ci/minimal-values.yaml")

    def checksum(given: dict[str, Any]) -> str:
        deployment = one(render(given), "Deployment", "rel-waitcall")
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/policy"])

    assert checksum(values) != checksum(values | {"policy": {"text": 'dial_regions = ["KZ"]'}})


MISSPELT: list[tuple[str, Any]] = [
    ("replicas", 3),
    ("serve.replica", 3),
    ("serve.replicas", "three"),
    ("serve.replicas", 0),
    ("serve.resource", {}),
    ("worker.prestopSeconds", 5),
    ("settings.smscURL", "https://smsc.ru/sys"),
    ("settings.smscUrls", ["http://smsc.ru/sys"]),
    ("settings.windowSeconds", 901),
    ("settings.inboxPollSeconds", 5),
    ("settings.callbackHash", "sha256"),
    ("settings.logLevel", "verbose"),
    ("secret.name", "waitcall"),
    ("secret.keys.redisURL", "redis-url"),
    ("secret.keys.redisUrl", "redis url"),
    ("image.digest", "sha256:short"),
    ("image.pullPolicy", "Sometimes"),
    ("ingress.enabled", "yes"),
    ("ingress.hosts", ["a.example.org"]),
    ("autoscaling.targetCPU", 0),
    ("networkPolicy.redis.port", 6379),
    ("metrics.serviceMonitor.enable", True),
    ("dashboards.enabled", True),
    ("test.phoneNumber", "89991234567"),
]


@pytest.mark.parametrize(("name", "value"), MISSPELT, ids=lambda each: str(each)[:40])
def test_a_misspelt_value_is_refused(name: str, value: Any) -> None:
    values = deepcopy(values_of(CHART / "ci/minimal-values.yaml"))
    place = values
    *parents, last = name.split(".")
    for part in parents:
        place = place.setdefault(part, {})
    place[last] = value
    with pytest.raises(helm.HelmError, match="|".join(name.split("."))):
        chart().validate_schema(values)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "secret.existingSecret"),
        ({"ingress": {"enabled": True}}, "ingress.host"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
        ({"externalSecret": {"enabled": True}}, "externalSecret.storeRef.name"),
        ({"simulator": {"enabled": True}}, "serve.replicas: 1"),
    ],
    ids=["secret", "ingress", "route", "external", "simulator"],
)
def test_what_is_missing_is_named(wrong: dict[str, Any], told: str) -> None:
    values = {"secret": {"existingSecret": "waitcall"}} | wrong if wrong else {}
    with pytest.raises(helm.HelmError, match=told):
        render(values)


def test_the_readme_has_every_value_and_the_schema_no_other() -> None:
    text = (CHART / "values.yaml").read_text()
    readme = (CHART / "README.md").read_text()
    assert readme == chart_readme.filled(readme, text), "make chart-readme"
    schema = json.loads((CHART / "values.schema.json").read_text())

    def leaves(node: dict[str, Any], path: str = "") -> set[str]:
        if "properties" not in node or node.get("additionalProperties") is not False:
            return {path}
        found = {f"{path}.{name}".lstrip("."): each for name, each in node["properties"].items()}
        return {leaf for name, each in found.items() for leaf in leaves(each, name)}

    named = {name for name, _, _ in chart_readme.rows(text)}
    assert {leaf for leaf in leaves(schema) if ".resources." not in leaf} | {
        "serve.resources",
        "worker.resources",
    } == named | {"global"}


def test_the_charts_policy_is_the_shipped_one() -> None:
    assert (CHART / "files/policy.toml").read_text() == (ROOT / "config/policy.toml").read_text()


def test_the_version_is_the_services() -> None:
    from service import __version__  # noqa: PLC0415

    assert chart().metadata["appVersion"] == __version__
