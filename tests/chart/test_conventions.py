"""Test the chart as people use charts: numbers as written, a parent chart, OpenShift, extra volumes, dual stack."""

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chart.test_chart import (
    CHART,
    chart,
    environment_of,
    helm,
    one,
    peers,
    pods,
    render,
    serving,
    values_of,
    yaml,
)

MINIMAL = {"secret": {"existingSecret": "waitcall"}}


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """Merge values as Helm does: a later one overrides an earlier one, key by key."""
    found: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            both = isinstance(found.get(name), dict) and isinstance(value, dict)
            found[name] = merged(found[name], value) if both else value
    return found


def given(text: str) -> dict[str, Any]:
    """Return the values of a file with this text, and those that the chart requires."""
    return merged(MINIMAL, yaml.safe_load(text))


def notes(values: dict[str, Any]) -> str:
    return str(chart().render(values, name="rel", namespace="ns")["waitcall/templates/NOTES.txt"])


def egress(values: dict[str, Any], name: str = "api") -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = one(render(values), "NetworkPolicy", f"rel-waitcall-{name}")["spec"][
        "egress"
    ]
    return rules


def reached(values: dict[str, Any], port: int, name: str = "api") -> list[Any]:
    """Return the peers that a policy lets pods reach at a port; [None] for any address."""
    rules = [rule for rule in egress(values, name) if port in [each["port"] for each in rule["ports"]]]
    return [peer for rule in rules for peer in rule.get("to", [None])]


# Numbers


def numeric_values() -> dict[str, str]:
    """Return a text for each number of the schema, by the name of the value. It is long where a long one is allowed."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    found: dict[str, str] = {}

    def walk(node: dict[str, Any], path: str) -> None:
        kinds = {each.get("type"): each for each in node.get("anyOf", ())}
        number = kinds.get("integer") or kinds.get("number")
        if number:
            # One value is 0 or at most 300, which its schema says by a choice.
            most = max(each.get("maximum", 0) for each in number["anyOf"]) if "anyOf" in number else 1234567
            found[path] = str(min(int(number.get("maximum", most)), 1234567))
        for name, each in node.get("properties", {}).items():
            walk(each, f"{path}.{name}".lstrip("."))
        if path.endswith(".ports"):
            found[f"{path}[0]"] = "65535"

    walk(schema, "")
    # Four parts of the schema refer to the others.
    return {name: text for name, text in found.items() if not name.startswith(("api.", "public.", "page."))}


WAYS: dict[str, Callable[[str], dict[str, Any]]] = {
    "file": lambda text: dict(yaml.safe_load(text)),
    "set": lambda text: dict(helm.parse_set_string(text)),
    "set-string": lambda text: dict(helm.parse_set_string_values(text)),
}


def written(way: str, name: str, text: str) -> dict[str, Any]:
    """Return the values with one number, given in this way."""
    if way != "file":
        return WAYS[way](f"{name}={text}")
    inner: Any = [int(text)] if name.endswith("[0]") else int(text)
    for part in reversed(name.removesuffix("[0]").split(".")):
        inner = {part: inner}
    return WAYS[way](yaml.safe_dump(inner))


def places(objects: list[dict[str, Any]]) -> str:
    return yaml.safe_dump_all(objects, default_flow_style=False)


@pytest.mark.parametrize("way", WAYS)
def test_every_number_is_rendered_as_it_was_written(way: str) -> None:
    numbers = numeric_values()
    assert len(numbers) > 20
    everything = {
        "autoscaling": {"enabled": True},
        "ingress": {"enabled": True, "host": "a.example.org"},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]},
    }
    for name, text in numbers.items():
        values = merged(MINIMAL, written(way, name, text))
        if name.startswith(("autoscaling.", "podDisruptionBudget.")):
            values = merged(everything, values, {"podDisruptionBudget": {"enabled": False}})
        if name.startswith("sip."):
            values = merged(values, {"sip": {"enabled": True, "trunk": ["203.0.113.7"]}})
            values = merged(values, {"secret": {"keys": {"sipSecrets": "sip-secrets"}}})
        rendered = places(render(values))
        assert not re.search(r"\de\+\d", rendered), name
        if name == "podDisruptionBudget.minAvailable":
            continue
        told = str(sum(map(int, (text, "3", "30", "5")))) if name == "serve.preStopSeconds" else text
        assert re.search(rf"[ '\"]{told}\b", rendered), (name, told)


def test_numbers_of_a_million_and_more_reach_the_service_and_the_pods() -> None:
    values = given("""
settings: {lowBalance: 1000000, smscTimeoutSeconds: 2.5}
serve: {resources: {limits: {memory: 1000000000}}, extraEnv: [{name: SIZE, value: 1000000}]}
""")
    objects = render(values)
    environment = environment_of(serving(objects)["api"])
    assert environment["WAITCALL_LOW_BALANCE"] == "1000000"
    assert environment["WAITCALL_SMSC_TIMEOUT_SECONDS"] == "2.5"
    assert environment["SIZE"] == "1000000"
    assert (
        "memory: 1000000000"
        in chart().render(values, name="rel", namespace="ns")["waitcall/templates/serve-deployments.yaml"]
    )


# A parent chart


@pytest.fixture
def parent(tmp_path: Path) -> Callable[[str], Any]:
    """Make a parent chart with this one as its dependency `calls`."""

    def make(values: str) -> Any:
        home = tmp_path / "parent"
        shutil.copytree(CHART, home / "charts/waitcall")
        (home / "Chart.yaml").write_text(
            "apiVersion: v2\nname: parent\nversion: 1.0.0\ndescription: d\nicon: https://example.org/icon.png\n"
            "dependencies:\n  - {name: waitcall, version: '*', repository: '', alias: calls, condition: calls.enabled}\n"
        )
        (home / "values.yaml").write_text(values)
        (home / "templates").mkdir()
        (home / "templates/own.yaml").write_text(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: own}\ndata: {a: b}\n"
        )
        return home

    return make


PARENT = """
global:
  imageRegistry: mirror.example.org
  imagePullSecrets: [{name: mirror}]
  storageClass: fast
  compatibility: {openshift: {adaptSecurityContext: force}}
calls:
  enabled: true
  imagePullSecrets: [{name: own}, mirror]
  secret: {existingSecret: waitcall}
  simulator: {enabled: true}
  test: {apiKeySecret: waitcall-test}
  serve: {replicas: 1}
"""


def test_a_parent_chart_renders_and_lints_with_the_conventions_of_charts(
    parent: Callable[[str], Any],
) -> None:
    home = parent(PARENT)
    report = helm.lint(str(home), strict=True, with_subcharts=True)
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["severity"] > 1] == []
    rendered = helm.Chart.load(str(home)).render({}, name="rel", namespace="ns")
    objects = [
        each for text in rendered.values() if "kind:" in text for each in yaml.safe_load_all(text) if each
    ]
    assert one(objects, "Deployment", "rel-calls-api")
    found = pods(objects)
    assert len(found) == 4
    for pod in found:
        assert pod["imagePullSecrets"] == [{"name": "mirror"}, {"name": "own"}]
        assert all(each["image"].startswith("mirror.example.org/waitcall") for each in pod["containers"])
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & {*pod["securityContext"]}


def test_a_parent_chart_leaves_it_out_by_its_condition(parent: Callable[[str], Any]) -> None:
    home = parent(PARENT.replace("enabled: true", "enabled: false", 1))
    rendered = helm.Chart.load(str(home)).render({}, name="rel", namespace="ns")
    assert [name for name, text in rendered.items() if text.strip()] == ["parent/templates/own.yaml"]


@pytest.mark.parametrize(
    ("image", "world", "reference"),
    [
        ({}, {}, "waitcall:0.2.0"),
        ({"registry": "r.example.org"}, {}, "r.example.org/waitcall:0.2.0"),
        (
            {"registry": "r.example.org", "tag": 2},
            {"imageRegistry": "m.example.org"},
            "m.example.org/waitcall:2",
        ),
        ({"repository": "r.example.org/w", "tag": "2"}, {}, "r.example.org/w:2"),
        ({"digest": "sha256:" + "a" * 64}, {"imageRegistry": "m"}, "m/waitcall@sha256:" + "a" * 64),
    ],
)
def test_the_image_comes_from_the_registry_that_the_values_name(
    image: dict[str, Any], world: dict[str, Any], reference: str
) -> None:
    values = merged(MINIMAL, {"image": {**image, "tag": str(image.get("tag", ""))}, "global": world})
    images = {container["image"] for pod in pods(render(values)) for container in pod["containers"]}
    assert images == {reference}


@pytest.mark.parametrize("override", ["nameOverride", "fullnameOverride"])
def test_overridden_names_labels_and_annotations_are_on_every_object(override: str) -> None:
    values = merged(
        values_of(CHART / "ci/everything-values.yaml"),
        {"nameOverride": "", override: "dial", "commonLabels": {"app.kubernetes.io/name": "theirs"}},
    )
    objects = render(values)
    assert len(objects) == 35
    for each in objects:
        name = each["metadata"]["name"]
        outer = (
            "waitcall",
            "waitcall-own",
        )  # the ExternalSecret and the ServiceAccount have names of their own
        assert name in outer or name.startswith("dial" if override == "fullnameOverride" else "rel-dial"), (
            name
        )
        assert each["metadata"]["annotations"]["owner"] == "identity", name
        # A label of the user cannot take a label from the selectors.
        own = "dial" if override == "nameOverride" else "waitcall"
        assert each["metadata"]["labels"]["app.kubernetes.io/name"] == own


# Pods


def settings_of(text: str) -> dict[str, str | None]:
    return environment_of(one(render(given(text)), "Deployment", "rel-waitcall-api"))


@pytest.mark.parametrize(
    ("value", "setting"),
    [
        ("lowBalance", "LOW_BALANCE"),
        ("workers", "WORKERS"),
        ("logLevel", "LOG_LEVEL"),
        ("smsruUrl", "SMSRU_URL"),
        ("publicUrl", "PUBLIC_URL"),
    ],
)
def test_null_takes_the_default_of_a_setting_away(value: str, setting: str) -> None:
    assert f"WAITCALL_{setting}" in settings_of("{}")
    assert f"WAITCALL_{setting}" not in settings_of(f"settings: {{{value}: null}}")


@pytest.mark.parametrize(
    "value", ["imagePullSecrets", "commonLabels", "commonAnnotations", "image.registry", "serve.podLabels"]
)
def test_null_of_a_list_or_table_is_an_empty_one(value: str) -> None:
    text = "null"
    for name in reversed(value.split(".")):
        text = f"{{{name}: {text}}}"
    assert render(given(text)) == render(MINIMAL)


def test_a_registry_may_end_with_a_slash() -> None:
    (pod, *_) = pods(render(given("global: {imageRegistry: registry.example:5000/}")))
    assert pod["containers"][0]["image"].startswith("registry.example:5000/waitcall:")


@pytest.mark.parametrize(
    "text",
    [
        "podSecurityContext: {runAsUser: null, runAsGroup: null, fsGroup: null}",
        "global: {compatibility: {openshift: {adaptSecurityContext: force}}}",
    ],
)
def test_openshift_may_choose_the_user(text: str) -> None:
    values = given(text)
    for pod in pods(render(values)):
        context = {name: value for name, value in pod["securityContext"].items() if value is not None}
        assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_what_the_values_add_is_in_every_pod_of_its_deployment() -> None:
    objects = render(values_of(CHART / "ci/everything-values.yaml"))
    deployments = [each for each in objects if each["kind"] == "Deployment"]
    assert len(deployments) == 4
    for each in deployments:
        template = each["spec"]["template"]
        pod, (main, *beside) = template["spec"], template["spec"]["containers"]
        assert template["metadata"]["annotations"]["a/b"] == "c"
        assert [container["name"] for container in pod["initContainers"]] == ["wait"]
        assert [container["name"] for container in beside] == ["beside"]
        assert "certificates" in [volume["name"] for volume in pod["volumes"]]
        assert "/certificates" in [mount["mountPath"] for mount in main["volumeMounts"]]
        assert main["envFrom"] == [{"secretRef": {"name": "more", "optional": True}}]
        assert main["lifecycle"]["postStart"] == {"exec": {"command": ["true"]}}
        assert pod["topologySpreadConstraints"][1]["maxSkew"] == 2
        assert pod["priorityClassName"] == "high"
        assert pod["nodeSelector"] == {"disk": "ssd"}
        assert pod["tolerations"] == [{"key": "dedicated", "operator": "Exists"}]
        assert "nodeAffinity" in pod["affinity"]
        # A hook of the user does not take away the pause before SIGTERM.
        assert ("preStop" in main["lifecycle"]) == ("worker" not in each["metadata"]["name"])
    assert one(objects, "ServiceAccount", "waitcall-own")["metadata"]["annotations"]["a/b"] == "c"


def test_a_hook_of_the_user_replaces_the_pause() -> None:
    values = given("serve: {lifecycle: {preStop: {httpGet: {path: /x, port: 1}}}}")
    (main, *_) = serving(render(values))["api"]["spec"]["template"]["spec"]["containers"]
    assert main["lifecycle"] == {"preStop": {"httpGet": {"path": "/x", "port": 1}}}


def test_a_deployment_may_have_volumes_of_its_own() -> None:
    values = given(
        "public: {extraVolumes: [{name: x, emptyDir: {}}], extraVolumeMounts: [{name: x, mountPath: /x}]}"
    )
    found = {
        name: [volume["name"] for volume in each["spec"]["template"]["spec"]["volumes"]]
        for name, each in serving(render(values)).items()
    }
    assert found == {"api": ["secrets", "policy", "tmp"], "public": ["secrets", "policy", "tmp", "x"]}


def test_languages_of_the_hosted_page_come_from_a_configmap() -> None:
    values = merged(
        values_of(CHART / "ci/everything-values.yaml"), {"pageLocales": {"existingConfigMap": "words"}}
    )
    for name, each in serving(render(values)).items():
        pod = each["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        told = environment_of(each)["WAITCALL_PAGE_LOCALES"]
        if name == "api":
            assert (told, "locales" in mounts) == ("", False)
        else:
            assert volumes["locales"]["configMap"] == {"name": "words"}
            assert told == mounts["locales"]


# The network


def test_the_service_listens_on_both_families_and_services_may_have_both() -> None:
    objects = render(values_of(CHART / "ci/everything-values.yaml"))
    for deployment in (each for each in objects if each["kind"] == "Deployment"):
        binds = {v for k, v in environment_of(deployment).items() if k.endswith("_BIND")}
        assert binds == {f"[::]:{port}" for port in (8080, 8081, 9090, 9091)}
    for service in (each for each in objects if each["kind"] == "Service"):
        assert service["spec"]["ipFamilyPolicy"] == "PreferDualStack"
        assert service["spec"]["ipFamilies"] == ["IPv6", "IPv4"]
    assert "ipFamilyPolicy" not in one(render(MINIMAL), "Service", "rel-waitcall-api")["spec"]


def test_providers_are_reached_by_both_families_and_private_networks_by_none() -> None:
    blocks = {peer["ipBlock"]["cidr"]: peer["ipBlock"]["except"] for peer in reached(MINIMAL, 443)}
    assert {*blocks} == {"0.0.0.0/0", "::/0"}
    assert {"fc00::/7", "fe80::/10"} <= {*blocks["::/0"]}
    assert "10.0.0.0/8" in blocks["0.0.0.0/0"]
    every = given("networkPolicy: {privateNetworks: [], privateNetworksIPv6: []}")
    assert all("except" not in peer["ipBlock"] for peer in reached(every, 443))


def web_ports(values: Any, name: str) -> list[int]:
    web = {"port": 443, "protocol": "TCP"}
    return [each["port"] for rule in egress(values, name) if web in rule["ports"] for each in rule["ports"]]


def test_of_the_public_pods_only_callbacks_reach_telnyx_and_only_with_its_key() -> None:
    key = "secret: {keys: {telnyxApiKey: key}}\npage: {enabled: true}\nsettings: {publicUrl: 'https://a.example'"
    assert web_ports(given(f"{key}}}"), "public") == [443]
    assert web_ports(given(f"{key}, telnyxApiUrl: 'https://api.example:8443'}}"), "public") == [443, 8443]
    assert web_ports(given(f"{key}}}"), "page") == web_ports(MINIMAL, "public") == []


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        ("settings: {smscUrls: ['https://gateway.example:8443/sys', https://smsc.ru/sys]}", [443, 8443]),
        ("settings: {smscUrls: ['https://[2001:db8::1]:8443/sys']}", [443, 8443]),
        (
            "settings: {smsruUrl: 'https://gateway.example:9443'}\nsecret: {keys: {smsruApiId: id}}",
            [443, 9443],
        ),
        ("settings: {smsruUrl: 'https://gateway.example:9443'}", [443]),
    ],
)
def test_providers_are_reached_at_the_ports_of_their_urls(values: str, ports: list[int]) -> None:
    for name in ("api", "worker"):
        (rule,) = [
            each for each in egress(given(values), name) if {"port": 443, "protocol": "TCP"} in each["ports"]
        ]
        assert [each["port"] for each in rule["ports"]] == ports
    assert reached(given(values), 8443, "public") == []


def test_dns_is_reached_where_the_values_say() -> None:
    usual = reached(MINIMAL, 53)
    assert {"cidr": "169.254.20.10/32"} in [peer.get("ipBlock") for peer in usual]
    labels = [peer["podSelector"]["matchLabels"] for peer in usual if "podSelector" in peer]
    assert labels == [{"k8s-app": "kube-dns"}, {"dns.operator.openshift.io/daemonset-dns": "default"}]
    values = given("networkPolicy: {dns: {to: [{ipBlock: {cidr: fd00::a/128}}], ports: [1053]}}")
    for name in ("api", "public", "worker"):
        assert reached(values, 1053, name) == [{"ipBlock": {"cidr": "fd00::a/128"}}]
        assert reached(values, 53, name) == []
    assert reached(given("networkPolicy: {dns: {to: []}}"), 53) == [None]


@pytest.mark.parametrize("asked", ["serviceMonitor: {enabled: true}", "annotations: true"])
def test_prometheus_is_let_in_where_it_is_asked_to_scrape(asked: str) -> None:
    values = given(f"metrics: {{{asked}}}")
    objects = render(values)
    for name, port in (("api", 9090), ("public", 9090), ("worker", 9091)):
        (peer,) = peers(one(objects, "NetworkPolicy", f"rel-waitcall-{name}"), port)
        (label,) = peer["podSelector"]["matchExpressions"]
        assert (label["key"], label["values"][0]) == ("app.kubernetes.io/name", "prometheus")
        closed = one(render(MINIMAL), "NetworkPolicy", f"rel-waitcall-{name}")
        assert peers(closed, port) == []
    own = merged(values, {"networkPolicy": {"ops": [{"namespaceSelector": {}}]}})
    assert peers(one(render(own), "NetworkPolicy", "rel-waitcall-api"), 9090) == [{"namespaceSelector": {}}]


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        ("http://collector.observability.svc:4318", 4318),
        ("http://[fd00::1]:4318", 4318),
        ("http://[fd00::1]", 80),
        ("https://collector.example.org/v1", 443),
        ("http://collector", 80),
    ],
)
def test_traces_reach_their_collector(endpoint: str, port: int) -> None:
    values = merged(MINIMAL, {"settings": {"tracing": "otlp"}, "tracing": {"endpoint": endpoint}})
    older = merged(
        MINIMAL,
        {"settings": {"tracing": "otlp"}},
        {"serve": {"extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": endpoint}]}},
    )
    for each in (values, older):
        assert None in reached(each, port, "public")
        found = serving(render(each))["public"]
        assert environment_of(found)["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint
    narrow = merged(values, {"networkPolicy": {"tracing": [{"namespaceSelector": {}}]}})
    assert {"namespaceSelector": {}} in reached(narrow, port, "public")
    off = merged(values, {"settings": {"tracing": "off"}})
    assert reached(off, port, "public") == []
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in environment_of(serving(render(off))["public"])


def test_the_notes_say_what_is_closed_and_how_to_begin() -> None:
    told = notes(MINIMAL)
    for line in (
        "Callbacks are closed",
        "The metrics are closed",
        "not published",
        "port-forward svc/rel-waitcall-api",
    ):
        assert line in told
    opened = given("""
metrics: {serviceMonitor: {enabled: true}}
ingress: {enabled: true, hosts: [calls.example.org]}
networkPolicy: {callback: [{namespaceSelector: {}}], api: [{namespaceSelector: {}}]}
settings: {tracing: otlp}
""")
    told = notes(opened)
    for line in ("closed", "this namespace only"):
        assert line not in told
    assert "https://calls.example.org/callbacks/smsc" in told
    assert "app.kubernetes.io/name: prometheus" in told
    assert "Traces reach a collector in the same pod only" in told
    assert "network policy" not in notes(given("networkPolicy: {enabled: false}"))


def test_the_notes_name_each_public_address_and_what_an_ingress_lacks() -> None:
    published = given("ingress: {enabled: true, hosts: [calls.example.org]}")
    told = notes(published)
    assert "settings.trustedHops is 0" in told
    assert "names no certificate" in told
    own = given("""
settings: {publicUrl: "https://calls.example.org", trustedHops: 1}
secret: {keys: {callbackSecrets: "", sipSecrets: sip-secrets}}
ingress: {tlsSecret: calls-tls}
""")
    told = notes(merged(published, own))
    assert "https://calls.example.org/callbacks/sip" in told
    assert "https://calls.example.org/p" in told
    for line in ("/callbacks/smsc", "settings.trustedHops is 0", "names no certificate"):
        assert line not in told


def test_callbacks_of_smsc_are_published_only_with_their_secret() -> None:
    values = given('secret: {keys: {callbackSecrets: "", sipSecrets: sip-secrets}}')
    objects = render(merged(values, {"ingress": {"enabled": True, "hosts": ["a.example.org"]}}))
    (rule,) = one(objects, "Ingress", "rel-waitcall-callback")["spec"]["rules"]
    assert [each["path"] for each in rule["http"]["paths"]] == ["/callbacks/sip"]


def test_an_ingress_without_any_path_is_refused() -> None:
    values = given(
        '{secret: {keys: {callbackSecrets: ""}}, ingress: {enabled: true, hosts: [a.example.org]}}'
    )
    with pytest.raises(helm.HelmError, match="nothing is public"):
        render(values)


@pytest.mark.parametrize(
    ("values", "hosts", "tls"),
    [
        ("{hosts: [a.example.org, {host: b.example.org}]}", ["a.example.org", "b.example.org"], None),
        (
            "{hosts: [a.example.org], tls: [{secretName: s, hosts: [a.example.org]}]}",
            ["a.example.org"],
            [{"secretName": "s", "hosts": ["a.example.org"]}],
        ),
        (
            "{host: a.example.org, tlsSecret: s}",
            ["a.example.org"],
            [{"secretName": "s", "hosts": ["a.example.org"]}],
        ),
    ],
)
def test_an_ingress_has_several_hosts_and_certificates(values: str, hosts: list[str], tls: Any) -> None:
    objects = render(merged(given(f"ingress: {values}"), {"ingress": {"enabled": True}}))
    spec = one(objects, "Ingress", "rel-waitcall-callback")["spec"]
    assert [rule["host"] for rule in spec["rules"]] == hosts
    assert spec.get("tls") == tls


# The demo


def test_the_demo_brings_what_a_verification_needs() -> None:
    values = values_of(CHART / "ci/demo-values.yaml")
    objects = render(values)
    secret = one(objects, "Secret", "rel-waitcall-demo")["data"]
    told = {name: base64.b64decode(value).decode() for name, value in secret.items()}
    assert told["api-keys"] == f"web={hashlib.sha256(told['api-key'].encode()).hexdigest()}"
    assert told["redis-url"] == f"redis://:{told['redis-password']}@rel-waitcall-valkey:6379/0"
    assert len({*told.values()}) == len(told)
    assert all(len(told[name]) >= 32 for name in ("key-pepper", "callback-secrets", "smsc-apikey"))
    for pod in pods([each for each in objects if each["kind"] == "Deployment"]):
        mounted = [each["secret"] for each in pod["volumes"] if "secret" in each]
        assert [each["secretName"] for each in mounted] == ["rel-waitcall-demo"]
        assert {item["key"] for item in mounted[0]["items"]} <= {*told}
    assert {each["spec"]["replicas"] for each in objects if each["kind"] == "Deployment"} == {1}
    assert not [each for each in objects if each["kind"] == "PodDisruptionBudget"]
    (container,) = one(objects, "StatefulSet", "rel-waitcall-valkey")["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["image"] == "valkey/valkey:8"
    key = one(objects, "Pod", "rel-waitcall-test")["spec"]["containers"][0]["env"][-1]["valueFrom"][
        "secretKeyRef"
    ]
    assert key == {"name": "rel-waitcall-demo", "key": "api-key"}


def test_the_demo_is_loud_and_says_how_to_begin() -> None:
    told = notes(values_of(CHART / "ci/demo-values.yaml"))
    assert "THIS IS A DEMO" in told
    assert "get secret rel-waitcall-demo" in told
    assert "svc/rel-waitcall-simulator" in told


@pytest.mark.parametrize(
    "production",
    [
        {"secret": {"existingSecret": "waitcall"}},
        {"secret": {"keys": {"webhookSecrets": "webhook-secrets"}}},
        {"externalSecret": {"enabled": True, "storeRef": {"name": "s"}, "remoteKey": "k"}},
        {"ingress": {"enabled": True, "host": "a.example.org"}},
        {"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}},
        {"autoscaling": {"enabled": True}},
        {"settings": {"redisMinReplicas": 1}},
        {"networkPolicy": {"callback": [{"namespaceSelector": {}}]}},
    ],
    ids=str,
)
def test_the_demo_is_refused_beside_production(production: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmError, match=r"demo\.enabled: unset"):
        render(merged({"demo": {"enabled": True}}, production))


# The chart's own page


def test_the_metadata_is_what_a_catalogue_of_charts_shows() -> None:
    metadata = chart().metadata
    icon = metadata["icon"].removeprefix("data:image/svg+xml;base64,")
    assert base64.b64decode(icon) == (CHART / "icon.svg").read_bytes()
    assert metadata["kubeVersion"]
    assert metadata["maintainers"]
    changes = yaml.safe_load(metadata["annotations"]["artifacthub.io/changes"])
    kinds = {"added", "changed", "deprecated", "removed", "fixed", "security"}
    assert {each["kind"] for each in changes} <= kinds
    assert all(each["description"].endswith(".") for each in changes)
    assert metadata["annotations"]["artifacthub.io/license"] == "Apache-2.0"
