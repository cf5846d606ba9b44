"""Test a policy that uses only the second provider: the first needs no credentials and gets no request."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from werkzeug.test import TestResponse

from simulator.smsru import CONFIRMED, POOL, batch
from tests.integration.conftest import KEY, SECRET, Running
from tests.redis_servers import free_port
from waitcall.cli import main

POLICY = """
dial_regions = ["RU"]
[purposes.login]
[clients.web]
purposes = ["login"]
[routing]
default = ["smsru"]
"""


@pytest.fixture
def environ(running: Running) -> dict[str, str]:
    return {
        # Nothing listens at this address, so a request to the first provider would fail.
        "WAITCALL_SMSC_URLS": "http://127.0.0.1:9/sys",
        "WAITCALL_SMSC_APIKEY": "",
        "WAITCALL_SMSRU_API_ID": running.simulator.callcheck.account.api_id,
        "WAITCALL_SMSRU_URL": running.simulator.smsru_url,
    }


def test_a_number_is_shown_without_the_other_provider(
    starting: Callable[..., Running], environ: dict[str, str]
) -> None:
    alone = starting(POLICY, **environ, WAITCALL_API_KEYS=f"web={hashlib.sha256(KEY.encode()).hexdigest()}")

    made = alone.create()

    assert made.status_code == 201
    assert made.get_json()["call"]["number"] in {f"+{number}" for number in POOL}
    assert alone.ops.test_client().get("/readyz").status_code == 200
    # The first provider's callback handler exists nevertheless, because its secret is required.
    assert alone.call().status_code == 200


def test_the_doctor_asks_only_the_provider_that_is_used(
    running: Running, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    told = environ | {
        "WAITCALL_REDIS_URL": running.redis.url,
        "WAITCALL_CALLBACK_SECRETS": SECRET,
        "WAITCALL_API_KEYS": f"web={hashlib.sha256(KEY.encode()).hexdigest()}",
        "WAITCALL_KEY_PEPPER": "p" * 32,
        "WAITCALL_POLICY": str(tmp_path / "policy.toml"),
        "WAITCALL_CALLBACK_BIND": f"127.0.0.1:{free_port()}",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)

    rows = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)

    states = {each["check"]: each["state"] for each in rows}
    assert states["smsru"] == "ok"
    assert states.keys().isdisjoint({"provider", "balance"})


def test_an_unreadable_record_does_not_keep_others_of_its_batch_from_being_verified(
    starting: Callable[..., Running], environ: dict[str, str]
) -> None:
    """The 503 makes the provider repeat the batch, because another version of the service may read the record."""
    alone = starting(POLICY, **environ, WAITCALL_API_KEYS=f"web={hashlib.sha256(KEY.encode()).hexdigest()}")
    bad, good = (alone.create(phone_number=f"+7999123450{each}").get_json()["id"] for each in (1, 2))
    checks = {f"+{each.phone}": each for each in alone.simulator.callcheck.checks.values()}
    with alone.redis.client() as client:
        (name,) = client.scan_iter(f"waitcall:*:v:{bad[28:]}", count=1000)
        client.set(name, b"\xff\xfe", px=60_000)
    at = int(alone.clock().timestamp())
    entries = [f"callcheck_status\n{checks[f'+7999123450{each}'].id}\n{CONFIRMED}\n{at}" for each in (1, 2)]
    account = replace(alone.simulator.callcheck.account, handler="http://127.0.0.1/callbacks/smsru")
    sent = batch(account, entries)

    told = alone.callback.test_client().post(
        "/callbacks/smsru", data=sent.data, content_type="application/x-www-form-urlencoded"
    )

    assert (told.status_code, told.get_json()["code"]) == (503, "store_unavailable")
    assert alone.get(f"/v1/verifications/{good}").get_json()["status"] == "verified"
    refused = alone.get(f"/v1/verifications/{bad}")
    assert (refused.status_code, refused.get_json()["code"]) == (503, "store_unavailable")
    assert alone.create(phone_number="+79991234501").get_json()["code"] == "verification_in_progress"
    assert alone.metrics()['waitcall_unreadable_entries_total{where="record"}'] >= 2


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_multipart_batch_with_a_bad_entry_verifies_the_good_ones_and_is_acknowledged(
    starting: Callable[..., Running], environ: dict[str, str], line_end: str
) -> None:
    """The provider repeats a batch for days until it is acknowledged. A multipart writer may send CRLF for each LF."""
    alone = starting(POLICY, **environ, WAITCALL_API_KEYS=f"web={hashlib.sha256(KEY.encode()).hexdigest()}")
    made = [alone.create(phone_number=f"+7999123450{each}").get_json()["id"] for each in (1, 2)]
    checks = {each.phone: each.id for each in alone.simulator.callcheck.checks.values()}
    at = int(alone.clock().timestamp())
    first, last = (f"callcheck_status\n{checks[f'7999123450{each}']}\n{CONFIRMED}\n{at}" for each in (1, 2))
    entries = [first, "callcheck_status\n1\n401\nyesterday", "", last]
    digest = hashlib.sha256((alone.simulator.callcheck.account.api_id + "".join(entries)).encode())
    fields = {f"data[{at}]": each.replace("\n", line_end) for at, each in enumerate(entries, 1)}

    def post(**changes: str) -> TestResponse:
        return alone.callback.test_client().post(
            "/callbacks/smsru",
            data=fields | {"hash": digest.hexdigest()} | changes,
            content_type="multipart/form-data",
        )

    assert post(hash="0" * 64).status_code == 403
    told = post()
    assert (told.status_code, told.data) == (200, b"100")
    for each in made:
        assert alone.get(f"/v1/verifications/{each}").get_json()["status"] == "verified"
    counted = alone.metrics()
    assert counted['waitcall_callbacks_total{kind="call",outcome="malformed"}'] == 1
    assert counted['waitcall_callbacks_total{kind="call",outcome="confirmed"}'] == 2
