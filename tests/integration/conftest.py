"""Fixtures that build the service as production does, on a real Valkey and the provider simulator.

The tests use Flask's test client.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from simulator.dialler import Handler
from simulator.server import Options, Simulator
from tests.fakes.clock import FakeClock
from tests.redis_servers import Server
from waitcall.composition import build
from waitcall.configuration.settings import load_settings

KEY, OTHER_KEY, OPERATOR_KEY, SECRET = "a-key-of-web", "a-key-of-app", "a-key-of-ops", "callback-secret-1"
POLICY = """
dial_regions = ["RU"]
[purposes.login]
[purposes.contested]
on_concurrent = "contest"
[purposes.reset]
require_reference = true
max_window_seconds = 600
[purposes.foreign]
[purposes.any_channel]
channels = ["call", "text_in", "code"]
[purposes.two_steps]
second_step = "code"
[clients.web]
purposes = ["login", "contested", "reset", "any_channel", "two_steps"]
default_region = "RU"
[clients.app]
purposes = ["login"]
[clients.ops]
purposes = []
scopes = ["operate"]
[limits]
number = []
[text_in]
numbers = ["+79585550000"]
"""


@dataclass
class Running:
    """Applications of the three surfaces, with the simulator, the clock and the Redis that they use."""

    api: Flask
    callback: Flask
    ops: Flask
    simulator: Simulator
    clock: FakeClock
    redis: Server

    def post(self, path: str, body: Any, key: str = KEY, **headers: str) -> Any:
        sent = {"Authorization": f"Bearer {key}"} | {n.replace("_", "-"): v for n, v in headers.items()}
        return self.api.test_client().post(path, json=body, headers=sent)

    def get(self, path: str, key: str = KEY) -> Any:
        return self.api.test_client().get(path, headers={"Authorization": f"Bearer {key}"})

    def delete(self, path: str, key: str = KEY) -> Any:
        return self.api.test_client().delete(path, headers={"Authorization": f"Bearer {key}"})

    def create(self, **fields: Any) -> Any:
        asked = {"phone_number": "+79991234567", "purpose": "login", "reference": "flow"} | fields
        return self.post("/v1/verifications", asked)

    def call(self, phone: str = "79991234567", ts: int | None = None, secret: str = SECRET) -> Any:
        at = int(self.clock().timestamp()) if ts is None else ts
        digest = hashlib.sha1(f"{phone}:{at}:{secret}".encode()).hexdigest()
        fields = {"waitcall": "1", "phone": phone, "ts": str(at), "charset": "utf-8", "sha1": digest}
        return self.callback.test_client().post("/callbacks/smsc", data=fields)

    def code(self) -> str:
        """Return the code in the latest message."""
        return re.sub(r"[^0-9]", "", self.simulator.office.sent[-1].text)

    def text(self, to: str, text: str, phone: str = "79991234567") -> Any:
        digest = hashlib.sha1(f"{phone}:{text}:{to}:{SECRET}".encode()).hexdigest()
        fields = {"phone": phone, "mes": text, "to": to, "charset": "utf-8", "sha1": digest}
        return self.callback.test_client().post("/callbacks/smsc", data=fields)

    def operate(self, what: str, **fields: Any) -> Any:
        return self.post(f"/v1/operator/{what}", fields, key=OPERATOR_KEY)

    def metrics(self) -> dict[str, float]:
        text = self.ops.test_client().get("/metrics").text
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    handler = Handler("http://127.0.0.1:9/callbacks/smsc", SECRET)
    with Simulator(Options(handler, calm=True)) as running:
        yield running


@pytest.fixture
def starting(
    valkey: Server, simulator: Simulator, tmp_path: Path, clock: FakeClock
) -> Callable[..., Running]:
    simulator.exchange.reset()
    simulator.office.reset()
    simulator.faults.load([], None)
    policy = tmp_path / "policy.toml"

    def start(policy_text: str = POLICY, **environ: str) -> Running:
        policy.write_text(policy_text)
        settings = load_settings(
            {
                "WAITCALL_REDIS_URL": valkey.url,
                "WAITCALL_SMSC_URLS": simulator.base_url,
                "WAITCALL_SMSC_APIKEY": "sim-apikey",
                "WAITCALL_SMSC_TIMEOUT_SECONDS": "10",
                "WAITCALL_CALLBACK_SECRETS": SECRET,
                "WAITCALL_API_KEYS": f"web={_sha(KEY)},app={_sha(OTHER_KEY)},ops={_sha(OPERATOR_KEY)}",
                "WAITCALL_KEY_PEPPER": "p" * 32,
                "WAITCALL_POLICY": str(policy),
            }
            | environ
        )
        surfaces = build(settings, multiprocess_dir=None, clock=clock)
        api, callback, ops = (surfaces.by_port[port] for port in ("8080", "8081", "9090"))
        return Running(api, callback, ops, simulator, clock, valkey)

    return start


@pytest.fixture
def running(starting: Callable[..., Running]) -> Running:
    return starting()


def _sha(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
