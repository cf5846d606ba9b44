"""Test the operator's commands against a real Valkey, with the settings of the service."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.fakes.clock import FakeClock
from tests.integration.conftest import KEY, POLICY, Running
from tests.worlds import redis_connection
from waitcall.adapters.redis.keys import Keys
from waitcall.adapters.redis.outbox import RedisOutbox
from waitcall.application.effects import Announcement, Delivery
from waitcall.cli import main

NUMBER = "+79991234567"
LIMITED = POLICY.replace("number = []", 'number = ["1/10m"]')
Cli = Callable[..., Result]


@pytest.fixture
def running(starting, clock: FakeClock) -> Running:
    # The commands use the real time, so the service's clock must agree with it.
    clock.now = datetime.now(UTC)
    return starting(LIMITED)


@pytest.fixture
def cli(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    settings = {
        "REDIS_URL": running.redis.url,
        "SMSC_APIKEY": "sim-apikey",
        "CALLBACK_SECRETS": "callback-secret-1",
        "API_KEYS": f"web={hashlib.sha256(KEY.encode()).hexdigest()}",
        "KEY_PEPPER": "p" * 32,
        "POLICY": str(tmp_path / "policy.toml"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"WAITCALL_{name}", value)

    def run(*words: str, given: str | None = None, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [*words], input=given)
        assert result.exit_code == code, result.output
        return result

    return run


def test_an_operator_finds_out_why_a_number_is_refused_and_unblocks_it(running: Running, cli: Cli) -> None:
    made = running.create().get_json()
    running.delete(f"/v1/verifications/{made['id']}")
    assert running.create().status_code == 429

    told = json.loads(cli("explain", NUMBER, "--json").stdout)
    (refusal,) = told["refusals"]
    assert (refusal["code"], refusal["detail"]) == ("rate_limited", "number 1/10m")
    undone = json.loads(cli("unblock", "-", "--json", "--reason", "ticket 1", given=NUMBER + "\n").stdout)
    assert undone["limits"] == ["number", "number_total", "code_number", "failed_checks", "wrong_numbers"]
    assert running.create().status_code == 201


def test_an_operator_blocks_and_unblocks(running: Running, cli: Cli) -> None:
    entry = json.loads(
        cli(
            "block", "--prefix", "+7999", "--for", "2h", "--reason", "x", "--operator", "anna", "--json"
        ).stdout
    )
    assert (entry["action"], entry["by"]) == ("block", "anna")
    assert running.create().status_code == 403
    cli("block", NUMBER, "--allow", "--reason", "vip")
    assert running.create().status_code == 201
    assert {each["subject"] for each in json.loads(cli("lists", "--json").stdout)["lists"]} == {
        "+7999",
        NUMBER,
    }
    removed = cli("unblock", "--prefix", "+7999", "--reason", "over", "--json").stdout
    assert json.loads(removed) == {"removed": "+7999"}
    assert [each["subject"] for each in json.loads(cli("lists", "--json").stdout)["lists"]] == [NUMBER]


def test_people_get_tables_of_lists_and_limits(running: Running, cli: Cli) -> None:
    running.create()
    cli("block", NUMBER, "--reason", "stolen", "--operator", "anna")

    assert cli("lists").stdout.splitlines()[1].split()[:4] == ["block", "number", NUMBER, "anna"]
    told = cli("explain", NUMBER).stdout
    assert "refused       yes" in told
    assert "\nrefusals:\ncode " in told
    assert "\nlimits:\nscope " in told
    assert "stolen" in told.split("\nlists:\n")[1]


def test_an_id_from_a_table_can_be_shown(running: Running, cli: Cli) -> None:
    made = running.create().get_json()
    found = cli("find", NUMBER).stdout
    (id_line,) = [line for line in found.splitlines() if line.startswith("id ")]
    shown = cli("show", id_line.split()[1]).stdout
    assert made["id"] in shown
    assert json.loads(cli("show", made["id"], "--json").stdout)["id"] == made["id"]


def test_a_block_from_the_terminal_ends_what_is_live(running: Running, cli: Cli) -> None:
    made = running.create().get_json()

    cli("block", "-", "--for", "1h", "--reason", "stolen", given=NUMBER + "\n")

    ended = running.get(f"/v1/verifications/{made['id']}").get_json()
    assert (ended["status"], ended["reason"]) == ("canceled", "by_operator")


def test_the_audit_stream_is_exported_as_json_lines(running: Running, cli: Cli) -> None:
    running.create(client_ip="192.0.2.1")
    cli("explain", NUMBER, "--operator", "anna")
    cli("block", "--network", "192.0.2.0/24", "--reason", "a flood", "--operator", "anna")

    exported = cli("audit", "export", "--operator", "boris").stdout
    lines = [json.loads(line) for line in exported.splitlines()]

    assert {(each["event"], each["actor"]) for each in lines} == {
        ("started", "client:web"),
        ("explain", "operator:anna"),
        ("block", "operator:anna"),
        ("export", "operator:boris"),
    }
    assert NUMBER[1:] not in exported
    assert {"number_hash", "verification_hash", "client", "purpose", "region"} <= set(lines[0])
    (block,) = [each for each in lines if each["event"] == "block"]
    assert (block["subject"], block["reason"]) == ("192.0.2.0/24", "a flood")
    of_number = cli("audit", "export", "--number", "-", given=NUMBER + "\n").stdout.splitlines()
    assert {json.loads(line)["event"] for line in of_number} == {"started", "explain", "export"}
    assert cli("audit", "export", "--since", "2030-01-01").stdout == ""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["explain"], 2, "Give PHONE_NUMBER"),
        (["explain", "+7999"], 1, "invalid_phone_number"),
        (["explain", NUMBER, "--purpose", "nothing"], 1, "purpose"),
        (["unblock", NUMBER], 2, "--reason"),
        (["unblock", NUMBER, "--scope", "provider", "--reason", "x"], 2, "provider"),
        (["unblock", "--prefix", "+7800", "--reason", "x"], 1, "not_found"),
        (["block", "--reason", "x"], 2, "Give exactly one"),
        (["block", NUMBER, "--prefix", "+7", "--reason", "x"], 2, "Give exactly one"),
        (["block", NUMBER, "--for", "soon", "--reason", "x"], 2, "12h"),
        (["block", NUMBER, "--for", "400d", "--reason", "x"], 1, "expires_in"),
        (["block", "--network", "nowhere", "--reason", "x"], 1, "network"),
    ],
)
def test_a_senseless_command_is_refused_with_an_explanation(
    cli: Cli, words: list[str], code: int, said: str
) -> None:
    assert said in cli(*words, code=code).output


def test_a_key_is_hashed_and_tried_from_standard_input(cli: Cli) -> None:
    key = "a-key-that-somebody-made-elsewhere"
    pair = cli("keys", "hash", "web", given=key + "\n").stdout
    assert pair.strip() == f"WAITCALL_API_KEYS: web={hashlib.sha256(key.encode()).hexdigest()}"

    told = cli("keys", "check", given=KEY + "\n").stdout
    assert "client:   web" in told
    assert json.loads(cli("keys", "check", "--json", given=KEY + "\n").stdout)["client"] == "web"
    assert "scopes:   consume, create, read" in told
    assert "No client has this key" in cli("keys", "check", given=key + "\n", code=1).output
    assert "32 characters" in cli("keys", "hash", "web", given="short\n", code=1).output


def test_redis_away_is_one_line_and_exit_1(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAITCALL_REDIS_URL", "redis://127.0.0.1:1/0")

    told = cli("explain", NUMBER, code=1).output
    assert told.startswith("Error: store_unavailable")
    assert len(told.splitlines()) == 1


def test_broken_settings_exit_2_by_name(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAITCALL_KEY_PEPPER", "short")

    assert "WAITCALL_KEY_PEPPER" in cli("explain", NUMBER, code=2).output


HOOKED = """
[clients.web.webhooks.main]
url = "https://login.example.org/waitcall"
"""


def test_an_operator_lists_and_replays_what_no_receiver_took(
    running: Running, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = cli("events", "secret", "web/main").stdout
    monkeypatch.setenv("WAITCALL_WEBHOOK_SECRETS", made.split("WAITCALL_WEBHOOK_SECRETS: ")[1].strip())
    (tmp_path / "policy.toml").write_text(LIMITED + HOOKED)
    with redis_connection(running.redis.url) as connection:
        outbox = RedisOutbox(connection, Keys("p" * 32))
        # The first read of a stream creates its consumer group.
        outbox.take("a worker", 64)
        for name in ("evt_1", "evt_2"):
            delivery = Delivery(name, "web/main", '{"type":"verification.verified"}', 1)
            outbox.announce(NUMBER, Announcement(name, (delivery,), 60))
        for taken in outbox.take("a worker", 64):
            outbox.bury(taken, taken.delivery)

    lines = [json.loads(line) for line in cli("events", "dead").stdout.splitlines()]
    assert sorted((each["event_id"], each["endpoint"]) for each in lines) == [
        ("evt_1", "web/main"),
        ("evt_2", "web/main"),
    ]
    assert lines[0]["event"] == {"type": "verification.verified"}
    assert "replayed: 1" in cli("events", "replay", "evt_1", "--reason", "receiver fixed").stdout
    replayed = cli("events", "replay", "--endpoint", "web/main", "--reason", "x", "--json").stdout
    assert json.loads(replayed) == {"replayed": 1}
    assert cli("events", "dead").stdout == ""
    assert "no such dead letter" in cli("events", "replay", "--all", "--reason", "x", code=1).output
    assert "Give an EVENT_ID" in cli("events", "replay", "--reason", "x", code=2).output
    assert "CLIENT/NAME" in cli("events", "secret", "web", code=2).output
    kept = cli("audit", "export").stdout
    assert kept.count('"dead_letters"') == 2
    assert kept.count('"replay"') == 3
    assert "receiver fixed" in kept


def test_a_worker_needs_its_accounts_whatever_surfaces_are_set(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITCALL_SURFACES", "callback")
    monkeypatch.delenv("WAITCALL_SMSC_APIKEY")
    monkeypatch.delenv("WAITCALL_API_KEYS")

    assert cli("check").stdout == "The settings are sound.\n"
    told = cli("worker", code=2).output
    assert "WAITCALL_SMSC_APIKEY alone: required" in told
    assert "WAITCALL_API_KEYS: required" in told
