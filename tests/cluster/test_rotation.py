"""Test the rotation of pepper, secrets and keys of a release on a real cluster, while numbers are verified."""

import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import pytest

from development.cluster import places
from simulator.dialler import Handler, digest
from tests.cluster.journeys import HERE, KEY, POLICY, SECRETS, VALUES, Load, Visitor, prepare, sent
from tests.cluster.releases import Release, namespace, restarts
from tests.cluster.rotation import rotate
from tests.end_to_end.receivers import Receiver, receiving
from tests.own_calls import SIP_OTHER_SECRET, SIP_SECRET, sip
from tests.redis_servers import wait_for

helm = pytest.importorskip("helm_python", reason="Helm is not installed: make chart-tools")
pytestmark = pytest.mark.slow
SECONDS = 180
THREADS = 4
OLD_PEPPER, NEW_PEPPER = SECRETS["key-pepper"], "another-pepper-of-these-tests-0123456789"
OLD_CALLBACK, NEW_CALLBACK = "a-secret-of-these-tests-0123", "another-secret-of-these-tests-01"
OLD_WEBHOOK, NEW_WEBHOOK = (
    "whsec_" + "b2xkLXNlY3JldC1vbGQtc2VjcmV0LW9s",
    "whsec_" + "bmV3LXNlY3JldC1uZXctc2VjcmV0LW5l",
)
OPERATOR, OTHER_OPERATOR = (
    "wck_an-operator-of-these-tests-0123456789-01234",
    "wck_another-operator-of-these-tests-0123456789",
)
TAKEN = 204
RECEIVERS = {"old": 8190, "new": 8191}
"""Ports of the receivers here. One believes only the old secret, and one only the new secret."""
POLICY_WITH_MORE = POLICY.replace(
    "[limits]",
    """[clients.ops]
purposes = []
scopes = ["operate"]
"""
    + "".join(
        f"""[clients.web.webhooks.{name}]
url = "http://{places.OUTSIDE}:{port}/hook"
events = ["verification.consumed"]
allow_private = true
"""
        for name, port in RECEIVERS.items()
    )
    + "[limits]",
)


def hashed(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def webhooks(*secrets: str) -> str:
    return ",".join(f"web/{name}={secret}" for name in RECEIVERS for secret in secrets)


def values(**keys: str) -> dict[str, Any]:
    """Return values of the chart, in which the Secret has some more keys."""
    named = VALUES["secret"]["keys"] | {
        "callbackSecrets": "callback-secrets",
        "webhookSecrets": "webhook-secrets",
    }
    policies = VALUES["networkPolicy"] | {"extraEgress": [{"to": HERE}]}
    return VALUES | {
        "secret": VALUES["secret"] | {"keys": named | keys},
        "policy": {"text": POLICY_WITH_MORE},
        "networkPolicy": policies,
    }


@pytest.fixture(scope="module")
def receivers() -> Iterator[dict[str, Receiver]]:
    """Receivers that let no event be sent twice, and note those that they believe."""
    here = places.OUTSIDE
    with (
        receiving(host=here, port=RECEIVERS["old"], secret=OLD_WEBHOOK, refused=TAKEN) as old,
        receiving(host=here, port=RECEIVERS["new"], secret=NEW_WEBHOOK, refused=TAKEN) as new,
    ):
        yield {"old": old, "new": new}


@pytest.fixture(scope="module")
def release(cluster: ModuleType, receivers: dict[str, Receiver]) -> Iterator[Release]:
    assert receivers
    with namespace("rotation"):
        made = Release(helm, "rotation")
        more = {
            "callback-secrets": OLD_CALLBACK,
            "webhook-secrets": webhooks(OLD_WEBHOOK),
            "key-pepper-other": NEW_PEPPER,
            "api-keys": f"web={hashed(KEY)},ops={hashed(OPERATOR)}",
        }
        prepare(made, more)
        made.install(values())
        yield made


def no_journey_fails_during(release: Release, change: Callable[[], None]) -> set[str]:
    """Make a change while numbers are verified, and check that none fails. Return the ids of the verifications."""
    visitor = Visitor(release)
    with Load(visitor.journey, THREADS) as load:
        wait_for(lambda: load.results.total() > 20, seconds=SECONDS)
        change()
        seen = load.results.total()
        wait_for(lambda: load.results.total() > seen + 20, seconds=SECONDS)
    assert {*load.results} == {"consumed"}, load.results
    assert restarts(release.pods()) == 0
    return set(visitor.consumed)


def test_the_pepper_rotates_in_three_steps_and_a_number_of_the_old_one_is_verified_after_the_second(
    release: Release,
) -> None:
    visitor = Visitor(release)
    _, waiting = visitor.create()

    def change() -> None:
        release.upgrade(values(keyPepperOther="key-pepper-other"))
        rotate(release, ("api", "public"), key_pepper=NEW_PEPPER, key_pepper_other=OLD_PEPPER)
        restart_workers(release)
        assert visitor.create(waiting["phone_number"])[0] == 200, "the live one is found under the old pepper"
        assert visitor.complete(waiting) == "consumed"
        release.upgrade(values())

    no_journey_fails_during(release, change)


def test_the_secret_of_the_sip_proxy_rotates_and_the_old_one_is_refused(release: Release) -> None:
    callback = release.read("service", f"{release.name}-waitcall-callback")["spec"]["clusterIP"]

    def answers(secret: str) -> set[int]:
        """Send reports of a stranger's calls, as many as reach each pod."""
        reports = [
            sip(int(time.time()), secret, call_id=f"{secret}{number}@test", caller="+79990000001")
            for number in range(30)
        ]
        return {sent(callback, "POST", "/callbacks/sip", each.body, each.headers)[0] for each in reports}

    def change() -> None:
        assert answers(SIP_OTHER_SECRET) == {403}
        rotate(release, ("public",), sip_secrets=f"{SIP_OTHER_SECRET},{SIP_SECRET}")
        assert answers(SIP_OTHER_SECRET) == answers(SIP_SECRET) == {204}

    no_journey_fails_during(release, change)
    rotate(release, ("public",), sip_secrets=SIP_OTHER_SECRET)
    assert answers(SIP_SECRET) == {403}
    assert answers(SIP_OTHER_SECRET) == {204}
    rotate(release, ("public",), sip_secrets=SIP_SECRET)
    assert Visitor(release).journey() == "consumed"


def test_the_secret_of_the_providers_callbacks_rotates_and_the_old_one_is_refused(release: Release) -> None:
    callback = release.read("service", f"{release.name}-waitcall-callback")["spec"]["clusterIP"]

    def answers(secret: str) -> set[int]:
        fields = {"waitcall": "1", "phone": "79990000001", "ts": str(int(time.time()))}
        signature = digest(Handler("http://unused", secret), "call", fields)
        body = urlencode(fields | {"charset": "utf-8", "sha1": signature})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return {sent(callback, "POST", "/callbacks/smsc", body, headers)[0] for _ in range(30)}

    def change() -> None:
        assert answers(NEW_CALLBACK) == {403}
        rotate(release, ("public",), callback_secrets=f"{NEW_CALLBACK},{OLD_CALLBACK}")
        assert answers(NEW_CALLBACK) == answers(OLD_CALLBACK) == {200}
        rotate(release, ("public",), callback_secrets=NEW_CALLBACK)
        assert answers(OLD_CALLBACK) == {403}
        assert answers(NEW_CALLBACK) == {200}

    no_journey_fails_during(release, change)
    rotate(release, ("public",), callback_secrets=OLD_CALLBACK)


def test_an_operators_key_rotates_and_the_old_one_is_refused(release: Release) -> None:
    visitor = Visitor(release)

    def keys(*operators: str) -> str:
        return ",".join([f"web={hashed(KEY)}", *(f"ops={hashed(each)}" for each in operators)])

    def answers(key: str) -> set[int]:
        return {visitor.ask("GET", "/v1/operator/lists", key=key)[0] for _ in range(30)}

    def change() -> None:
        assert answers(OPERATOR) == {200}
        assert answers(OTHER_OPERATOR) == {401}
        rotate(release, ("api",), api_keys=keys(OTHER_OPERATOR, OPERATOR))
        assert answers(OTHER_OPERATOR) == answers(OPERATOR) == {200}
        rotate(release, ("api",), api_keys=keys(OTHER_OPERATOR))
        assert answers(OPERATOR) == {401}
        assert answers(OTHER_OPERATOR) == {200}

    no_journey_fails_during(release, change)
    rotate(release, ("api",), api_keys=keys(OPERATOR))


def test_the_secret_of_a_webhook_rotates_and_no_event_is_lost(
    release: Release, receivers: dict[str, Receiver]
) -> None:
    def accepted(name: str) -> set[str]:
        return {event["data"]["id"] for _, event in list(receivers[name].accepted)}

    def change(*secrets: str) -> None:
        rotate(release, (), webhook_secrets=webhooks(*secrets))
        restart_workers(release)

    during = no_journey_fails_during(release, lambda: change(NEW_WEBHOOK, OLD_WEBHOOK))
    wait_for(lambda: during <= accepted("old"), seconds=SECONDS)
    both = no_journey_fails_during(release, lambda: None)
    wait_for(lambda: both <= accepted("old") & accepted("new"), seconds=SECONDS)
    during = no_journey_fails_during(release, lambda: change(NEW_WEBHOOK))
    wait_for(lambda: during <= accepted("new"), seconds=SECONDS)
    late = no_journey_fails_during(release, lambda: None)
    wait_for(lambda: late <= accepted("new"), seconds=SECONDS)
    assert not late & accepted("old")


def restart_workers(release: Release) -> None:
    name = f"deployment/{release.name}-waitcall-worker"
    release.kubectl("rollout", "restart", name)
    release.kubectl("rollout", "status", name, f"--timeout={SECONDS}s")
