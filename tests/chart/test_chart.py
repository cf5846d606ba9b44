"""Test the chart as Helm renders it: valid for Kubernetes, hardened, and strict about misspelt values."""

import json
import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from development import chart_readme
from waitcall.configuration.settings import PREFIX, SETTINGS

yaml = pytest.importorskip("yaml")
helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="make chart-tools")

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/waitcall"
EXAMPLES = sorted((CHART / "ci").glob("*.yaml"))
KUBERNETES = (*(pytest.param(older, marks=pytest.mark.slow) for older in ("1.29", "1.33")), "1.36")
WITHOUT_SCHEMA = {"ServiceMonitor", "PrometheusRule", "ExternalSecret", "HTTPRoute"}
"""Kinds of custom resources. Kubernetes has no schemas for them, so tests below assert their shape."""
WORKLOADS = ("Deployment", "StatefulSet", "Pod")

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
    return [each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"] for each in found]


def environment_of(deployment: dict[str, Any]) -> dict[str, str | None]:
    (main, *_) = deployment["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value") for each in main["env"]}


def serving(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the Deployments other than the worker's by the last part of their names."""
    found = [each for each in objects if each["kind"] == "Deployment"]
    named = {each["metadata"]["name"].rpartition("-")[2]: each for each in found}
    return {name: each for name, each in named.items() if name != "worker"}


def chosen_by(selector: dict[str, str], objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the Deployments whose pods have these labels."""
    return [
        each
        for each in objects
        if each["kind"] in ("Deployment", "StatefulSet")
        and selector.items() <= each["spec"]["template"]["metadata"]["labels"].items()
    ]


def ports_of(deployment: dict[str, Any]) -> dict[str, int]:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return {port["name"]: port["containerPort"] for each in containers for port in each.get("ports", [])}


def peers(policy: dict[str, Any], port: int) -> list[dict[str, Any]]:
    """Return the peers that a network policy lets in to a port."""
    rules = [rule for rule in policy["spec"]["ingress"] if port in [each["port"] for each in rule["ports"]]]
    return [peer for rule in rules for peer in rule["from"]]


def simulated_by(path: Path) -> bool:
    return path.stem in ("simulator-values", "demo-values")


def one(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def test_the_chart_has_six_example_values() -> None:
    assert [path.stem.removesuffix("-values") for path in EXAMPLES] == [
        *("cluster", "demo", "everything", "minimal", "production", "simulator")
    ]


@example
def test_helm_lint_finds_nothing(path: Path) -> None:
    report = helm.lint(str(CHART), values_of(path), strict=True)
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["severity"] > 1] == []


@example
@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_valid_for_kubernetes(path: Path, version: str) -> None:
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
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= {*container["resources"]["requests"]}
            assert "memory" in container["resources"]["limits"]
            assert not container["image"].endswith(":latest")
            # Secrets come from files or from a Secret object, never as text in a manifest.
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
        if "preStop" in main.get("lifecycle", {}):
            paused = int(main["lifecycle"]["preStop"]["exec"]["command"][1])
            ending = paused + int(environment["WAITCALL_DRAIN_SECONDS"]) + 30
            assert pod["terminationGracePeriodSeconds"] > ending


@example
def test_every_variable_of_the_pods_is_a_setting_of_the_service(path: Path) -> None:
    known = {PREFIX + name for name in SETTINGS}
    for each in render(values_of(path)):
        if each["kind"] == "Deployment":
            (main, *_) = each["spec"]["template"]["spec"]["containers"]
            told = {name["name"].removesuffix("_FILE") for name in main["env"]}
            assert {name for name in told if name.startswith(PREFIX)} - known == set()
            assert {"WAITCALL_REDIS_URL", "WAITCALL_CALLBACK_SECRETS", "WAITCALL_POLICY"} <= told


def test_every_value_of_the_settings_reaches_every_pod() -> None:
    values = values_of(CHART / "ci/everything-values.yaml")
    settings = values_of(CHART / "values.yaml")["settings"] | values["settings"]
    # Only the pods that serve hosted pages need their languages.
    assert settings.pop("pageLocales") == ""
    told = {
        PREFIX + re.sub(r"([A-Z])", r"_\1", name).upper(): ",".join(value)
        if isinstance(value, list)
        else str(value)
        for name, value in settings.items()
    }
    deployments = [each for each in render(values) if each["kind"] == "Deployment"]
    assert len(deployments) == 4
    for each in deployments:
        assert told.items() <= environment_of(each).items()


def test_certificates_for_redis_are_mounted_in_every_pod() -> None:
    """The variables name files of the Secret, and the Secret's other keys are not mounted."""
    values = values_of(CHART / "ci/everything-values.yaml")
    values["redisTls"] = {"existingSecret": "ours", "keys": {"ca": "ca.pem", "cert": "", "key": ""}}
    for given, files in (
        (
            values_of(CHART / "ci/everything-values.yaml"),
            {"CA": "ca.crt", "CERT": "tls.crt", "KEY": "tls.key"},
        ),
        (values, {"CA": "ca.pem"}),
    ):
        for each in (each for each in render(given) if each["kind"] == "Deployment"):
            pod = each["spec"]["template"]["spec"]
            (volume,) = (each for each in pod["volumes"] if each["name"] == "redis-tls")
            assert {item["path"] for item in volume["secret"]["items"]} == {*files.values()}
            mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
            expected = {
                f"WAITCALL_REDIS_{name}": f"{mounts['redis-tls']}/{key}" for name, key in files.items()
            }
            environment = environment_of(each)
            assert {name: environment.get(name) for name in expected} == expected
            assert ("WAITCALL_REDIS_CERT" in environment) == ("CERT" in files)
            told = environment["WAITCALL_REDIS_SENTINEL_PASSWORD_FILE"]
            assert told == f"{mounts['secrets']}/sentinel-password"


def test_without_certificates_for_redis_nothing_is_mounted() -> None:
    for each in (
        each for each in render(values_of(CHART / "ci/minimal-values.yaml")) if each["kind"] == "Deployment"
    ):
        volumes = each["spec"]["template"]["spec"]["volumes"]
        assert "redis-tls" not in [volume["name"] for volume in volumes]
        assert not any(name.startswith("WAITCALL_REDIS_CA") for name in environment_of(each))


@example
def test_network_policies_open_only_ports_that_exist(path: Path) -> None:
    objects = render(values_of(path))
    for policy in (each for each in objects if each["kind"] == "NetworkPolicy"):
        (deployment,) = chosen_by(policy["spec"]["podSelector"]["matchLabels"], objects)
        opened = policy["spec"]["ingress"]
        assert {port["port"] for rule in opened for port in rule["ports"]} <= {*ports_of(deployment).values()}
        assert all(rule["from"] for rule in opened)
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    for service in (each for each in objects if each["kind"] == "Service"):
        found = chosen_by(service["spec"]["selector"], objects)
        assert found
        for deployment in found:
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= {*ports_of(deployment)}


def test_the_test_pod_is_let_in_where_only_api_clients_are() -> None:
    values = values_of(CHART / "ci/production-values.yaml") | {"test": {"apiKeySecret": "waitcall-test"}}
    objects = render(values)
    labels = one(objects, "Pod", "rel-waitcall-test")["metadata"]["labels"]
    allowed = peers(one(objects, "NetworkPolicy", "rel-waitcall-api"), 8080)
    chosen = [peer["podSelector"]["matchLabels"] for peer in allowed if "podSelector" in peer]
    assert any(each.items() <= labels.items() for each in chosen)


@example
def test_nothing_but_the_callback_paths_is_public(path: Path) -> None:
    values = values_of(path)
    if values.get("demo"):
        assert not {"Ingress", "HTTPRoute"} & {each["kind"] for each in render(values)}
        return
    public = [("/callbacks/smsc", "Exact", "callback")]
    if values.get("secret", {}).get("keys", {}).get("smsruApiId"):
        public.append(("/callbacks/smsru", "Exact", "callback"))
    if values.get("secret", {}).get("keys", {}).get("twilioAuthTokens"):
        public += [(f"/callbacks/{name}", "Exact", "callback") for name in ("twilio", "telnyx", "sip")]
    if values.get("settings", {}).get("publicUrl"):
        public.append(("/p", "Prefix", "page" if "page" in values else "callback"))
    for each in render(values_of(path)):
        if each["kind"] == "Ingress":
            for rule in each["spec"]["rules"]:
                assert [
                    (
                        each["path"],
                        each["pathType"],
                        each["backend"]["service"]["name"].rpartition("-")[2],
                    )
                    for each in rule["http"]["paths"]
                ] == public
        if each["kind"] == "HTTPRoute":
            sent = [
                (
                    match["path"]["value"],
                    match["path"]["type"].removeprefix("Path"),
                    ref["name"].rpartition("-")[2],
                )
                for rule in each["spec"]["rules"]
                for match in rule["matches"]
                for ref in rule["backendRefs"]
            ]
            assert sent == public
        if each["kind"] == "Service" and each["metadata"]["name"] != "rel-calls-sip":
            assert each["spec"]["type"] == "ClusterIP"


def test_the_autoscaler_alone_sets_the_number_of_pods_and_the_disruption_budget_fits_it() -> None:
    values = values_of(CHART / "ci/production-values.yaml")
    objects = render(values)
    for name, most, seconds in (("rel-waitcall-api", 20, 300), ("rel-waitcall-public", 40, 600)):
        assert "replicas" not in one(objects, "Deployment", name)["spec"]
        scaler = one(objects, "HorizontalPodAutoscaler", name)["spec"]
        assert scaler["scaleTargetRef"]["name"] == name
        assert scaler["maxReplicas"] == most
        assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == seconds
        budget = one(objects, "PodDisruptionBudget", name)["spec"]
        assert budget["minAvailable"] < scaler["minReplicas"]
        (deployment,) = chosen_by(budget["selector"]["matchLabels"], objects)
        assert deployment["metadata"]["name"] == name
    values["public"]["podDisruptionBudget"] = {"minAvailable": 4}
    with pytest.raises(
        helm.HelmError, match=r"public\.podDisruptionBudget\.minAvailable: 4 .* never let a node"
    ):
        render(values)


@example
def test_each_deployment_serves_its_surface_and_listens_for_nothing_else(path: Path) -> None:
    found = serving(render(values_of(path)))
    surfaces = {"api": ("api", "api"), "public": ("callback", "callback"), "page": ("page", "callback")}
    expected = {"api", "public"} | ({"page"} if "everything" in path.stem else set())
    assert {*found} == expected
    for name, deployment in found.items():
        surface, listener = surfaces[name]
        assert environment_of(deployment)["WAITCALL_SURFACES"] == surface
        simulated = {"control"} if name == "api" and simulated_by(path) else set()
        assert {*ports_of(deployment)} == {listener, "ops"} | simulated


@example
def test_each_service_sends_to_the_deployment_of_its_surface(path: Path) -> None:
    objects = render(values_of(path))
    found = {
        each["metadata"]["labels"]["waitcall.dev/surface"]: {
            deployment["metadata"]["name"].rpartition("-")[2]
            for deployment in chosen_by(each["spec"]["selector"], objects)
        }
        for each in objects
        if each["kind"] == "Service" and each["metadata"]["name"] != "rel-waitcall-valkey"
    }
    expected = {"api": {"api"}, "callback": {"public"}, "ops": {*serving(objects)}, "worker-ops": {"worker"}}
    split = {"page": {"page"}, "sip": {"sip"}, "sip-ops": {"sip"}} if "everything" in path.stem else {}
    simulated = {"simulator": {"api"}} if simulated_by(path) else {}
    assert found == expected | split | simulated


@example
def test_no_pod_that_strangers_reach_holds_a_key_or_an_account(path: Path) -> None:
    inner = {"API_KEYS", "SMSC_APIKEY", "SMSC_LOGIN", "SMSC_PASSWORD", "WEBHOOK_SECRETS"}
    for name, deployment in serving(render(values_of(path))).items():
        told = {each.removeprefix(PREFIX).removesuffix("_FILE") for each in environment_of(deployment)}
        mounted = deployment["spec"]["template"]["spec"]["volumes"][0]["secret"]["items"]
        files = {value for key, value in environment_of(deployment).items() if key.endswith("_FILE")}
        assert {*files} >= {f"/run/waitcall/secrets/{item['path']}" for item in mounted} - {
            "/run/waitcall/secrets/authorities"
        }
        assert {"REDIS_URL", "CALLBACK_SECRETS", "KEY_PEPPER"} <= told
        assert bool(inner & told) == (name == "api")


@example
def test_no_policy_lets_strangers_into_the_api_or_lets_public_pods_out(path: Path) -> None:
    values = values_of(path)
    objects = render(values)
    given = values.get("networkPolicy", {})
    for name, deployment in serving(objects).items():
        policy = one(objects, "NetworkPolicy", deployment["metadata"]["name"])
        outside = given.get("callback", [])
        inside = [peer for peer in peers(policy, 8081) if peer not in outside]
        if name == "api":
            assert peers(policy, 8081) == []
            continue
        assert peers(policy, 8080) == []
        assert [peer for peer in peers(policy, 8081) if peer in outside] == outside
        assert bool(inside) == ((simulated_by(path) or "sip" in values) and name == "public")
        egress = [rule for rule in policy["spec"]["egress"] if rule not in given.get("extraEgress", [])]
        ports = {port["port"] for rule in egress for port in rule["ports"]}
        tracing = {4318} if "everything" in path.stem else set()
        telnyx = {443} if "everything" in path.stem and name == "public" else set()
        assert ports == {53, 5353, *given.get("redis", {}).get("ports", [6379])} | tracing | telnyx


def test_pods_of_the_namespace_may_call_the_api_except_the_public_ones() -> None:
    objects = render(values_of(CHART / "ci/minimal-values.yaml"))
    (peer,) = peers(one(objects, "NetworkPolicy", "rel-waitcall-api"), 8080)
    refused = {each["key"] for each in peer["podSelector"]["matchExpressions"]}
    assert {each["operator"] for each in peer["podSelector"]["matchExpressions"]} == {"DoesNotExist"}
    found = serving(render(values_of(CHART / "ci/everything-values.yaml")))
    for name in ("public", "page"):
        assert refused & {*found[name]["spec"]["template"]["metadata"]["labels"]}
    assert not refused & {*found["api"]["spec"]["template"]["metadata"]["labels"]}


def test_a_value_of_one_deployment_changes_no_other() -> None:
    objects = render(values_of(CHART / "ci/everything-values.yaml"))
    found = serving(objects)
    scalers = {
        each["metadata"]["name"]: each for each in objects if each["kind"] == "HorizontalPodAutoscaler"
    }
    assert scalers["rel-calls-api"]["spec"]["maxReplicas"] == 20
    assert scalers["rel-calls-page"]["spec"]["minReplicas"] == 2
    assert {*scalers} == {"rel-calls-api", "rel-calls-page"}
    assert found["public"]["spec"]["replicas"] == 3
    containers = {name: each["spec"]["template"]["spec"]["containers"][0] for name, each in found.items()}
    requests = {name: each["resources"]["requests"] for name, each in containers.items()}
    assert requests["public"] == {"cpu": "100m", "memory": "256Mi"}
    assert requests["api"] == requests["page"] == {"cpu": "250m", "memory": "256Mi"}
    paused = {name: each["lifecycle"]["preStop"]["exec"]["command"][1] for name, each in containers.items()}
    assert paused == {"api": "5", "public": "10", "page": "5"}
    assert {each["spec"]["template"]["spec"]["priorityClassName"] for each in found.values()} == {"high"}
    budgets = {name: one(objects, "PodDisruptionBudget", f"rel-calls-{name}")["spec"] for name in found}
    assert {name: each["minAvailable"] for name, each in budgets.items()} == {
        "api": 2,
        "public": 2,
        "page": 1,
    }


def test_the_simulator_outlives_the_service_that_drains_beside_it() -> None:
    pod = serving(render(values_of(CHART / "ci/simulator-values.yaml")))["api"]["spec"]["template"]["spec"]
    service, simulator = pod["containers"]
    paused, waits = (int(each["lifecycle"]["preStop"]["exec"]["command"][1]) for each in (service, simulator))
    environment = {each["name"]: each.get("value") for each in service["env"]}
    drained = paused + int(environment["WAITCALL_DRAIN_SECONDS"] or 0)
    assert drained < waits < pod["terminationGracePeriodSeconds"]


def test_a_loaded_node_delays_no_start_and_an_upgrade_keeps_the_only_worker() -> None:
    values = values_of(CHART / "ci/minimal-values.yaml") | {"worker": {"replicas": 1}}
    deployments = [each for each in render(values) if each["kind"] == "Deployment"]
    for each in deployments:
        (container,) = each["spec"]["template"]["spec"]["containers"]
        start = container["startupProbe"]
        assert start["timeoutSeconds"] == container["livenessProbe"]["timeoutSeconds"]
        assert start["periodSeconds"] * start["failureThreshold"] >= 300
        assert each["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_no_pod_claims_a_surface_that_another_deployment_serves() -> None:
    """``waitcall doctor`` looks for the handler of callbacks only where ``callback`` is served."""
    deployments = [
        each for each in render(values_of(CHART / "ci/minimal-values.yaml")) if each["kind"] == "Deployment"
    ]
    surfaces = {
        each["metadata"]["name"].rpartition("-")[2]: environment_of(each)["WAITCALL_SURFACES"]
        for each in deployments
    }
    assert surfaces == {"api": "api", "public": "callback", "worker": "api"}


def test_the_simulator_calls_back_the_public_deployment() -> None:
    objects = render(values_of(CHART / "ci/simulator-values.yaml"))
    (_, simulator) = serving(objects)["api"]["spec"]["template"]["spec"]["containers"]
    assert "--handler http://rel-waitcall-callback.ns.svc:80/callbacks/smsc" in simulator["args"][0]
    api, public = (one(objects, "NetworkPolicy", f"rel-waitcall-{name}") for name in ("api", "public"))
    (peer,) = peers(public, 8081)
    (out,) = [rule for rule in api["spec"]["egress"] if rule["ports"][0]["port"] == 8081]
    for selector, name in ((peer, "api"), (out["to"][0], "public")):
        (found,) = chosen_by(selector["podSelector"]["matchLabels"], objects)
        assert found == serving(objects)[name]


def test_pods_of_the_former_single_deployment_get_requests_once_they_are_labelled() -> None:
    """The chart's README has the command that sets the labels, so that the upgrade drops no request."""
    objects = render(values_of(CHART / "ci/minimal-values.yaml"))
    readme = (CHART / "README.md").read_text()
    (command,) = re.findall(r"kubectl label pods .*component=serve .*", readme)
    given = dict(re.findall(r"(\S+)=(\S+)", command.partition("component=serve")[2]))
    before = {"app.kubernetes.io/name": "waitcall", "app.kubernetes.io/instance": "rel"} | given
    for surface in ("api", "callback", "ops"):
        selector = one(objects, "Service", f"rel-waitcall-{surface}")["spec"]["selector"]
        assert selector.items() <= before.items()
    for each in serving(objects).values():
        before_and_component = before | {"app.kubernetes.io/component": "serve"}
        assert not each["spec"]["selector"]["matchLabels"].items() <= before_and_component.items()


def test_the_sip_proxy_is_open_to_the_carrier_and_reaches_only_waitcall_and_certificates() -> None:
    objects = render(values_of(CHART / "ci/everything-values.yaml"))
    policy = one(objects, "NetworkPolicy", "rel-calls-sip")
    trunk = ["203.0.113.0/28", "198.51.100.7/32", "2001:db8::7/128"]
    assert [peer["ipBlock"]["cidr"] for peer in peers(policy, 5060)] == trunk
    assert [peer["ipBlock"]["cidr"] for peer in peers(policy, 5061)] == ["203.0.113.0/24"]
    service = one(objects, "Service", "rel-calls-sip")["spec"]
    assert service["loadBalancerSourceRanges"] == [*trunk, "203.0.113.0/24"]
    assert service["externalTrafficPolicy"] == "Local"
    (_, *reached) = [{port["port"] for port in rule["ports"]} for rule in policy["spec"]["egress"]]
    assert reached == [{8081}, {443, 8443}]
    (proxy,) = chosen_by(service["selector"], objects)
    environment = environment_of(proxy)
    assert environment["WAITCALL_URL"] == "http://rel-calls-callback:8081"
    assert environment["WAITCALL_SIP_TRUNK"] == "203.0.113.0/28 198.51.100.7 2001:db8::7"
    callback = one(objects, "NetworkPolicy", "rel-calls-public")
    sources = [peer.get("podSelector", {}).get("matchLabels", {}) for peer in peers(callback, 8081)]
    labels = proxy["spec"]["template"]["metadata"]["labels"]
    assert any(each and each.items() <= labels.items() for each in sources)


def test_every_variable_of_the_sip_proxy_is_one_of_its_settings() -> None:
    settings = (ROOT / "sip/settings.sh").read_text()
    (proxy,) = chosen_by(
        {"app.kubernetes.io/component": "sip"}, render(values_of(CHART / "ci/everything-values.yaml"))
    )
    assert all(f'"${{{name}:=' in settings for name in environment_of(proxy))


def test_a_sip_proxy_that_nobody_may_call_is_refused() -> None:
    values = values_of(CHART / "ci/minimal-values.yaml") | {"sip": {"enabled": True}}
    with pytest.raises(helm.HelmError, match=r"sip\.enabled: name the proxy's secret"):
        render(values)
    values["secret"]["keys"] = {"sipSecrets": "sip-secrets"}
    with pytest.raises(helm.HelmError, match=r"sip\.enabled: name who may call"):
        render(values)


def test_custom_resources_have_what_their_operators_need() -> None:
    objects = render(values_of(CHART / "ci/everything-values.yaml"))
    rules = one(objects, "PrometheusRule", "rel-calls")["spec"]["groups"]
    plain = yaml.safe_load((CHART / "rules/waitcall.yaml").read_text())["groups"]
    for group in plain:
        for rule in group["rules"]:
            rule.get("annotations", {}).pop("runbook_url", None)
    assert [[{**rule, "expr": ""} for rule in group["rules"]] for group in rules] == [
        [{**rule, "expr": ""} for rule in group["rules"]] for group in plain
    ]
    for component, surface in (("serve", "ops"), ("worker", "worker-ops"), ("sip", "sip-ops")):
        monitor = one(objects, "ServiceMonitor", f"rel-calls-{component}")["spec"]
        service = one(objects, "Service", f"rel-calls-{surface}")
        assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        # The rules and the board select by this label of the Service.
        assert monitor["targetLabels"] == ["app.kubernetes.io/instance"]
        assert service["metadata"]["labels"]["app.kubernetes.io/instance"] == "rel"
        assert {each["port"] for each in monitor["endpoints"]} <= {
            port["name"] for port in service["spec"]["ports"]
        }
    secret = one(objects, "ExternalSecret", "waitcall")["spec"]
    (volume,) = [
        volume
        for volume in pods([one(objects, "Deployment", "rel-calls-api")])[0]["volumes"]
        if volume["name"] == "secrets"
    ]
    brought = {each["secretKey"] for each in secret["data"]}
    assert brought == {item["key"] for item in volume["secret"]["items"]}
    board = json.loads(one(objects, "ConfigMap", "rel-calls-dashboard")["data"]["ns-rel-calls.json"])
    plain_board = json.loads((CHART / "dashboards/waitcall.json").read_text())
    assert board["panels"] == plain_board["panels"]
    # Two releases have a board each, in one folder of Grafana.
    assert (board["uid"], board["title"]) != (plain_board["uid"], plain_board["title"])
    shown = {each["name"]: each.get("current", {}).get("value") for each in board["templating"]["list"]}
    assert (shown["namespace"], shown["release"]) == ("ns", "rel")


def test_alerts_and_panels_link_to_the_runbooks_where_the_values_say() -> None:
    """Without a base there are no links (see above), because a relative one leads nowhere."""
    base = "https://runbooks.example.org/waitcall/"
    values = deepcopy(values_of(CHART / "ci/everything-values.yaml"))
    values["prometheusRule"]["runbookBase"] = base
    objects = render(values)
    rules = one(objects, "PrometheusRule", "rel-calls")["spec"]["groups"]
    linked = [
        rule["annotations"]["runbook_url"] for group in rules for rule in group["rules"] if "alert" in rule
    ]
    board = json.loads(one(objects, "ConfigMap", "rel-calls-dashboard")["data"]["ns-rel-calls.json"])
    panels = [each for each in board["panels"] if "Runbook: " in each.get("description", "")]
    assert len(panels) > 20
    linked += [each["links"][0]["url"] for each in panels]
    assert not any(each.get("links") for each in board["panels"] if each not in panels)
    for url in linked:
        assert (ROOT / "docs/runbooks" / url.removeprefix(base)).is_file()


def test_a_changed_policy_rolls_the_pods() -> None:
    values = values_of(CHART / "ci/minimal-values.yaml")

    def checksum(given: dict[str, Any]) -> str:
        deployment = one(render(given), "Deployment", "rel-waitcall-public")
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/policy"])

    assert checksum(values) != checksum(values | {"policy": {"text": 'dial_regions = ["KZ"]'}})


MISSPELT: list[tuple[str, Any]] = [
    ("replicas", 3),
    ("serve.replica", 3),
    ("serve.replicas", "three"),
    ("serve.replicas", 0),
    ("serve.resource", {}),
    ("worker.prestopSeconds", 5),
    ("api.replica", 3),
    ("api.enabled", True),
    ("public.replicas", 0),
    ("public.autoscaling.targetCpu", 70),
    ("public.worker", {}),
    ("page.enable", True),
    ("page.enabled", "yes"),
    ("page.podDisruptionBudget.maxUnavailable", 1),
    ("callback.replicas", 3),
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
    ("ingress.hosts", [{"host": "a.example.org", "paths": ["/v1"]}]),
    ("autoscaling.targetCPU", 0),
    ("autoscaling.scaleDownSeconds", 3601),
    ("networkPolicy.redis.port", 6379),
    ("metrics.serviceMonitor.enable", True),
    ("prometheusRule.runbookBase", "docs/runbooks/"),
    ("prometheusRule.runbookBase", "https://runbooks.example.org"),
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
        ({"ingress": {"enabled": True}}, "ingress.hosts"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs"),
        ({"externalSecret": {"enabled": True}}, "externalSecret.storeRef.name"),
        ({"simulator": {"enabled": True}}, "api.replicas: 1"),
        ({"page": {"enabled": True}}, "settings.publicUrl"),
    ],
    ids=["secret", "ingress", "route", "external", "simulator", "page"],
)
def test_a_missing_value_is_named(wrong: dict[str, Any], told: str) -> None:
    values = {"secret": {"existingSecret": "waitcall"}} | wrong if wrong else {}
    with pytest.raises(helm.HelmError, match=told):
        render(values)


def test_the_readme_and_the_schema_have_exactly_the_charts_values() -> None:
    text = (CHART / "values.yaml").read_text()
    readme = (CHART / "README.md").read_text()
    assert readme == chart_readme.filled(readme, text), "make reference"
    schema = json.loads((CHART / "values.schema.json").read_text())

    def leaves(node: dict[str, Any], path: str = "") -> set[str]:
        if "properties" not in node or node.get("additionalProperties") is not False:
            return {path}
        found = {f"{path}.{name}".lstrip("."): each for name, each in node["properties"].items()}
        return {leaf for name, each in found.items() for leaf in leaves(each, name)}

    named = {name for name, _, _ in chart_readme.rows(text)}
    # Values that may differ for one Deployment are described once, under `serve` and beside it.
    differing = {"autoscaling", "podDisruptionBudget", *schema["properties"]["serve"]["properties"]}
    page = schema["properties"]["page"]["properties"]
    assert differing == {*schema["definitions"]["deployment"]["properties"]} == {*page} - {"enabled"}
    within = (".resources.", ".lifecycle.")
    own = {leaf for leaf in leaves(schema) if not any(each in leaf for each in within)} - {
        f"page.{name}" for name in differing
    }
    whole = {f"{part}.{name}" for part in ("serve", "worker") for name in ("resources", "lifecycle")}
    # A parent chart's `global` has keys of other charts, so the schema does not close it.
    inner = {name for name in named if name.startswith("global.")}
    assert {name.split(".")[1] for name in inner} == {*schema["properties"]["global"]["properties"]}
    assert own | whole == named - inner | {"global"}


def test_the_policy_of_the_chart_equals_the_one_in_config() -> None:
    assert (CHART / "files/policy.toml").read_text() == (ROOT / "config/policy.toml").read_text()


def test_the_app_version_of_the_chart_is_the_version_of_the_service() -> None:
    from waitcall import __version__  # noqa: PLC0415

    assert chart().metadata["appVersion"] == __version__
