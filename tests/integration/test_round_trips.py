"""Count the round trips to Redis of each request under the shipped policy."""

import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Running
from tests.redis_servers import Server

SHIPPED = (Path(__file__).resolve().parents[2] / "config/policy.toml").read_text()
POLICY = SHIPPED.replace("[clients.operator]", "[clients.ops]") + '\n[clients.app]\npurposes = ["login"]\n'
HOOK = '\n[clients.web.webhooks.main]\nurl = "https://login.example.org/hook"\n'
SECRET = {"WAITCALL_WEBHOOK_SECRETS": "web/main=whsec_" + "QUFB" * 8}
EXPECTED = {"create": 3, "pending": 1, "call": 2, "verified": 1, "consume": 2}
OF_A_KEY = {"create": 2, "pending": 0, "call": 0, "verified": 0, "consume": 2}
"""Further round trips of a request with an Idempotency-Key."""


@pytest.fixture
def sent(valkey: Server, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """List with one entry for each write to the socket of Redis, be it one command or a pipeline."""
    written: list[int] = []
    with valkey.client() as client:
        server = client.connection_pool.get_connection()._sock.getpeername()

    def counting(name: str) -> None:
        write = getattr(socket.socket, name)

        def counted(sock: socket.socket, *args: Any) -> Any:
            if sock.getpeername() == server:
                written.append(1)
            return write(sock, *args)

        monkeypatch.setattr(socket.socket, name, counted)

    counting("send")
    counting("sendall")
    return written


def journey(running: Running, sent: list[int], number: str, *, keyed: bool = True) -> dict[str, int]:
    counts: dict[str, int] = {}

    @contextmanager
    def counting(name: str) -> Iterator[None]:
        before = len(sent)
        yield
        counts[name] = len(sent) - before

    def key() -> dict[str, str]:
        return {"Idempotency_Key": str(uuid.uuid4())} if keyed else {}

    asked = {"phone_number": number, "purpose": "login", "reference": "flow", "client_ip": "192.0.2.1"}
    with counting("create"):
        made = running.post("/v1/verifications", asked, **key()).get_json()
    url = f"/v1/verifications/{made['id']}"
    with counting("pending"):
        assert running.get(url).get_json()["status"] == "pending"
    with counting("call"):
        assert running.call(number.lstrip("+")).status_code == 200
    with counting("verified"):
        assert running.get(url).get_json()["status"] == "verified"
    with counting("consume"):
        proof = {"purpose": "login", "reference": "flow"}
        assert running.post(f"{url}/consume", proof, **key()).status_code == 200
    return counts


@pytest.mark.parametrize("hooked", [False, True], ids=["without webhooks", "with webhooks"])
def test_each_request_makes_exactly_the_expected_round_trips(
    starting: Callable[..., Running], sent: list[int], hooked: bool
) -> None:
    running = starting(POLICY + HOOK, **SECRET) if hooked else starting(POLICY)
    # The first requests open connections and load scripts.
    journey(running, sent, "+79991230001")
    assert journey(running, sent, "+79991230002", keyed=False) == EXPECTED
    assert journey(running, sent, "+79991230003") == {
        name: EXPECTED[name] + OF_A_KEY[name] for name in EXPECTED
    }
