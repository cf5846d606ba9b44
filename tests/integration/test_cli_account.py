"""Test the commands that use the provider's account, and the doctor, against the simulator."""

import hashlib
import io
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from simulator.cabinet import CANCELLED, DONE, FAILED, RUNNING, WAITING
from tests.fakes.clock import FakeClock
from tests.integration.conftest import KEY, POLICY, SECRET, Running
from tests.redis_servers import free_port, wait_for
from waitcall.adapters.redis import connection
from waitcall.cli import main

NUMBER = "+79991234567"
FREE = "+79585550001"
Cli = Callable[..., Result]


@pytest.fixture
def running(starting, clock: FakeClock) -> Running:
    # The commands use the real time, so the service's clock must agree with it.
    clock.now = datetime.now(UTC)
    made = starting(POLICY)
    made.simulator.cabinet.reset()
    made.simulator.exchange.balance = "1000.00"
    return made


@pytest.fixture
def cli(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    settings = {
        "REDIS_URL": running.redis.url,
        "SMSC_URLS": running.simulator.base_url,
        "SMSC_APIKEY": "sim-apikey",
        "CALLBACK_SECRETS": SECRET,
        "API_KEYS": f"web={hashlib.sha256(KEY.encode()).hexdigest()}",
        "KEY_PEPPER": "p" * 32,
        "POLICY": str(tmp_path / "policy.toml"),
        "CALLBACK_BIND": f"127.0.0.1:{free_port()}",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"WAITCALL_{name}", value)

    def run(*words: str, given: str | None = None, code: int = 0) -> Result:
        result = CliRunner().invoke(main, [*words], input=given)
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def listening(running: Running, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of the callback handler, which listens on the socket that the settings name."""

    def framed(environ: dict[str, Any], start: Any) -> Any:
        # Unlike gunicorn, this server does not end the stream with the body, so the body is read here.
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        return running.callback(environ | {"wsgi.input": io.BytesIO(body)}, start)

    server = make_server("127.0.0.1", 0, framed, threaded=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    monkeypatch.setenv("WAITCALL_CALLBACK_BIND", f"127.0.0.1:{server.server_port}")
    yield f"http://127.0.0.1:{server.server_port}/callbacks/smsc"
    server.shutdown()
    server.server_close()


def asked(running: Running, endpoint: str) -> list[dict[str, str]]:
    return [each["fields"] for each in running.simulator.exchange.ledger if each.get("endpoint") == endpoint]


def audited(cli: Cli) -> list[dict[str, str]]:
    return [json.loads(line) for line in cli("audit", "export").stdout.splitlines()]


def test_our_numbers_and_the_free_ones_are_listed(running: Running, cli: Cli) -> None:
    rows = json.loads(cli("numbers", "list", "--json").stdout)
    assert [(each["phone_number"], each["state"]) for each in rows] == [
        ("+79585550000", "lost"),
        ("+79585550001", "free"),
        ("+79585550002", "free"),
    ]
    assert (rows[1]["cost"], rows[1]["current_cost"]) == ("900.00", "270.00")
    assert [(each["kind"], each["info"]) for each in rows] == [
        ("virtual", "Virtual, SMS"),
        ("virtual", "Virtual, SMS and calls"),
        ("sim", "SIM hosting, SMS"),
    ]
    running.simulator.cabinet.rent("79585550000", "0")
    table = cli("numbers", "list").stdout
    assert table.splitlines()[0].split()[:2] == ["phone", "number"]
    assert "rented" in table
    # The provider answers two such requests a minute, over all terminals together.
    refused = cli("numbers", "list", code=1)
    assert "rate_limited: The provider answers 2 such requests a minute." in refused.output
    assert len(asked(running, "receive_phones")) == 2


def test_a_policy_without_own_numbers_has_no_pool(cli: Cli) -> None:
    assert cli("numbers", "pool").stdout == "The policy has no own numbers.\n"
    assert json.loads(cli("numbers", "pool", "--json").stdout) == []


def test_renting_shows_the_cost_asks_for_consent_and_is_audited(running: Running, cli: Cli) -> None:
    no = cli("numbers", "rent", FREE, "--reason", "more texts", given="n\n", code=1)
    assert "270.00 for the rest of this month, 900.00 a month" in no.output
    assert [each for each in asked(running, "receive_phones") if "buy" in each] == []

    yes = cli("numbers", "rent", FREE, "--yes", "--json", "--reason", "more texts", "--operator", "anna")
    assert json.loads(yes.stdout) == {"phone_number": FREE, "charged": "270.00", "prolong": True}
    assert running.simulator.exchange.balance == "730.00"
    assert asked(running, "receive_phones")[-1]["noprolong"] == "0"
    (entry,) = [each for each in audited(cli) if each["event"] == "numbers_rent"]
    assert (entry["actor"], entry["cost"], entry["reason"]) == ("operator:anna", "270.00", "more texts")


def test_a_number_may_be_rented_for_this_month_alone(running: Running, cli: Cli) -> None:
    told = cli("numbers", "rent", FREE, "--yes", "--no-prolong", "--reason", "one month", "--json")
    assert json.loads(told.stdout)["prolong"] is False
    assert asked(running, "receive_phones")[-1]["noprolong"] == "1"
    assert running.simulator.cabinet.numbers[1].noprolong == 1


def test_a_number_whose_rent_was_not_answered_is_not_rented_again(running: Running, cli: Cli) -> None:
    running.simulator.cabinet.rent(FREE.lstrip("+"), "0")
    again = cli("numbers", "rent", FREE, "--yes", "--reason", "again", code=1)

    assert "perhaps it is rented already" in again.output
    assert [each for each in asked(running, "receive_phones") if "buy" in each] == []


def test_no_number_is_rented_without_enough_money(running: Running, cli: Cli) -> None:
    running.simulator.exchange.balance = "1.00"
    refused = cli("numbers", "rent", FREE, "--yes", "--reason", "x", code=1)
    assert "error code 3: there is not enough money in the account." in refused.output
    assert not running.simulator.cabinet.numbers[1].rented


def test_a_number_is_prolonged_and_stopped(running: Running, cli: Cli) -> None:
    running.simulator.cabinet.rent(FREE.lstrip("+"), "0")
    cli("numbers", "stop", FREE, "--reason", "too expensive")
    assert running.simulator.cabinet.numbers[1].noprolong == 1
    told = cli("numbers", "prolong", FREE, "--yes", "--reason", "after all", "--json").stdout
    assert json.loads(told) == {"certain": True}
    assert running.simulator.cabinet.numbers[1].noprolong == 0
    events = [each["event"] for each in audited(cli)]
    assert [each for each in events if each.startswith("numbers_")] == ["numbers_stop", "numbers_prolong"]
    assert "error code 1" in cli("numbers", "stop", "+79585550002", "--reason", "x", code=1).output


@pytest.mark.parametrize("confirmation", ["OK", "", "ok\n", "\ufeffOK"])
def test_a_change_that_is_confirmed_without_json_is_checked_by_the_list(
    running: Running, cli: Cli, confirmation: str
) -> None:
    cabinet = running.simulator.cabinet
    cabinet.rent(FREE.lstrip("+"), "0")
    cabinet.confirmation = confirmation
    assert cli("numbers", "stop", FREE, "--reason", "x").stdout == "The rent ends with this month.\n"
    assert cabinet.numbers[1].noprolong == 1
    assert [each.get("get") for each in asked(running, "receive_phones")] == [None, "1"]
    cli("numbers", "prolong", FREE, "--yes", "--reason", "x")
    assert cabinet.numbers[1].noprolong == 0
    told = cli("numbers", "stop", FREE, "--reason", "x").stdout
    assert "Look at `waitcall numbers list` in a minute." in told
    assert cabinet.numbers[1].noprolong == 1
    cabinet.confirmation = "<html>Maintenance</html>"
    assert "provider_error" in cli("numbers", "prolong", FREE, "--yes", "--reason", "x", code=1).output


def test_the_providers_error_codes_are_told_in_words(
    running: Running, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = {"apikey": "sim-apikey", "get": "1", "fmt": "3", "charset": "utf-8"}
    for _ in range(2):
        running.simulator.exchange.admit(asking, "receive_phones", running.simulator.clock())
    refused = cli("numbers", "list", code=1).output
    assert "error code 9: too many requests of this kind within a minute." in refused
    monkeypatch.setenv("WAITCALL_SMSC_APIKEY", "wrong")
    refused = cli("reports", "list", code=1).output
    assert (
        "error code 2: the credentials are wrong, or our address is not in the account's allow-list."
        in refused
    )
    refused = cli("reports", "download", "1", code=1).output
    assert "error code 2: the credentials are wrong" in refused


def test_every_status_of_a_task_is_told(running: Running, cli: Cli) -> None:
    for status in (WAITING, RUNNING, DONE, CANCELLED, FAILED, 5, -1):
        running.simulator.cabinet.add_task("week", "01.01.2026 12:00:00", status, [])
    rows = json.loads(cli("reports", "list", "--json").stdout)
    told = ["waiting", "running", "done", "cancelled", "failed", "unknown", "unknown"]
    assert [each["status"] for each in rows] == told
    assert [(each["name"], each["created"], each["started"]) for each in rows] == [
        ("week", "01.01.2026 12:00:00", "01.01.2026 12:00:00")
    ] * 7
    rows = json.loads(cli("reports", "list", "--json", "--after", "2", "--count", "3").stdout)
    assert [each["id"] for each in rows] == [3, 4, 5]


def test_a_report_is_downloaded_by_the_name_of_its_file(
    running: Running, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cabinet, sent = running.simulator.cabinet, running.simulator.office
    sent.send("79991234567", "hello", "77", 0.0)
    task = cabinet.add_task("week", "01.01.2026 12:00:00", DONE, sent.sent)
    cli("reports", "download", "week_1.csv")
    cli("reports", "download", "1")
    for written in ("week_1.csv", "report-1.csv"):
        assert (tmp_path / written).read_bytes() == task.content.encode()
    by = [(each.get("id"), each.get("name")) for each in asked(running, "downloads")]
    assert by == [(None, "week_1.csv"), ("1", None)]
    refused = cli("reports", "download", "other.csv", code=1).output
    assert "error code 3" in refused
    assert not (tmp_path / "other.csv").exists()


def test_a_report_is_listed_downloaded_and_resumed(running: Running, cli: Cli, tmp_path: Path) -> None:
    cabinet, sent = running.simulator.cabinet, running.simulator.office
    sent.send("79991234567", "hello", "77", 0.0)
    for status in (RUNNING, FAILED, DONE):
        task = cabinet.add_task("week", "01.01.2026 12:00:00", status, sent.sent)
    rows = json.loads(cli("reports", "list", "--json").stdout)
    assert [(each["id"], each["status"], each["file"]) for each in rows] == [
        (1, "running", ""),
        (2, "failed", ""),
        (3, "done", "week_3.csv"),
    ]

    target = tmp_path / "week.csv"
    cli("reports", "download", "3", "--to", str(target))
    assert target.read_bytes() == task.content.encode()
    assert target.stat().st_mode & 0o077 == 0
    part = tmp_path / "other.csv.part"
    part.write_bytes(task.content.encode()[:20])
    other = tmp_path / "other.csv"
    told = json.loads(cli("reports", "download", "3", "--to", str(other), "--json").stdout)
    assert told == {"file": str(other), "bytes": len(task.content.encode())}
    assert (tmp_path / "other.csv").read_bytes() == task.content.encode()
    assert not part.exists()
    assert (
        "error code 3" in cli("reports", "download", "1", "--to", str(tmp_path / "none.csv"), code=1).output
    )
    assert not (tmp_path / "none.csv").exists()


def test_a_report_is_compared_with_the_audit_stream(running: Running, cli: Cli, tmp_path: Path) -> None:
    ask = {"purpose": "any_channel", "channel": "code"}
    for last in range(3):
        assert running.create(phone_number=f"+7999123450{last}", **ask).status_code == 201
    office = running.simulator.office
    ours = [str(each.id) for each in office.sent]
    lost = office.sent.pop()
    office.send("77011234567", "not ours", "4242", 0.0)
    report = tmp_path / "report.csv"
    report.write_text(running.simulator.cabinet.add_task("r", "", DONE, office.sent).content)

    found = json.loads(cli("reports", "reconcile", str(report), "--json", code=3).stdout)
    assert (found["matched"], found["unknown"], found["unsent"]) == (2, ["4242"], [str(lost.id)])
    assert found["cost"] == {"KZ": "3.50", "RU": "7.00"}
    assert set(ours) > {str(lost.id)}
    table = cli("reports", "reconcile", str(report), code=3).stdout
    assert "unknown: 4242" in table
    office.sent[-1:] = [lost]
    report.write_text(running.simulator.cabinet.add_task("r", "", DONE, office.sent).content)
    cli("reports", "reconcile", str(report))
    report.write_text("just a text")
    assert "not a CSV" in cli("reports", "reconcile", str(report), code=1).output


def test_totals_of_a_report_are_no_messages_and_unreadable_lines_are_named(
    running: Running, cli: Cli, tmp_path: Path
) -> None:
    assert running.create(purpose="any_channel", channel="code").status_code == 201
    content = running.simulator.cabinet.add_task("r", "", DONE, running.simulator.office.sent).content
    report = tmp_path / "report.csv"
    report.write_bytes(f"sep=;\r\n{content}Итого:;;;;;3,50;\r\n".encode("utf-16"))
    found = json.loads(cli("reports", "reconcile", str(report), "--json").stdout)
    assert (found["matched"], found["unknown"], found["cost"]) == (1, [], {"RU": "3.50"})
    assert (found["charset"], found["unread"], found["adds_up"]) == ("utf-16-le", [], True)

    report.write_bytes(f'{content}4242;"cut\r\nИтого:;;;;;7,00;\r\n'.encode("koi8-r"))
    told = cli("reports", "reconcile", str(report), code=3).stdout
    assert "line 3 not read: It has a quote that is not closed." in told
    assert "do not add up" in told
    assert "4242" not in told
    found = json.loads(cli("reports", "reconcile", str(report), "--json", code=3).stdout)
    reason = "It has a quote that is not closed."
    assert (found["unread"], found["adds_up"]) == ([{"line": 3, "reason": reason}], False)


def test_the_doctor_finds_everything_sound(
    running: Running, cli: Cli, listening: str, tmp_path: Path
) -> None:
    limited = POLICY.replace("number = []", 'ip = ["20/h"]\nglobal = ["1000/h"]')
    for codes in ('channels = ["call", "text_in", "code"]', 'second_step = "code"'):
        limited = limited.replace(codes, f'{codes}\nregions = ["RU"]')
    (tmp_path / "policy.toml").write_text(limited)
    running.simulator.cabinet.rent("79585550000", "0")
    rows = json.loads(cli("doctor", "--url", listening, "--json").stdout)

    by_check = {each["check"]: each for each in rows}
    assert {each["state"] for each in rows} == {"ok", "note"}, rows
    assert by_check["address to register"]["state"] == "note"
    assert SECRET not in json.dumps(rows)
    assert f"{listening}?charset=utf-8&sha1=SECRET" in by_check["address to register"]["found"]
    assert {"redis", "clock", "provider", "balance", "handler", "handler, from outside"} <= set(by_check)


def test_the_doctor_counts_the_records_of_the_inbox_and_says_how_to_check_it(
    running: Running, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator, now = running.simulator, running.simulator.clock()
    calling, texting = "79991234567", "79991234568"

    def told(check: str) -> dict[str, str]:
        rows = json.loads(cli("doctor", "--json", code=1).stdout)
        return next(each for each in rows if each["check"] == check)

    assert "that look like calls: 0" in told("inbox")["found"]
    shown, _ = simulator.exchange.order(calling, now)
    simulator.exchange.call(calling, shown, now, None)
    found = told("inbox")
    assert found["state"] == "warning"
    assert (
        "that look like calls: 1; of these, with a number that may be shown: 0; without: 1; "
        in found["found"]
    )

    simulator.exchange.call(calling, shown, now)
    simulator.exchange.text(texting, shown, "[waitcall] 1", now)
    simulator.exchange.text(texting, "79585550000", "[waitcall] 2", now)
    simulator.exchange.text(texting, "79585550000", "hello", now)
    assert running.text(shown, "[waitcall] 1", texting).status_code == 200
    simulator.exchange._asked.clear()
    found = told("inbox")
    assert found["state"] == "ok"
    assert "records of the last hour: 5; that look like calls: 4; " in found["found"]
    assert "with a number that may be shown: 2; without: 2; texts that our handler got: 1" in found["found"]
    # The finding lists each record with masked numbers.
    assert found["found"].count("(a text)") == 1
    assert "+79*******68 to +79*******00 (no text known)" in found["found"]
    assert not any(each in found["found"] for each in (calling, texting, shown))
    assert told("inbox proves")["found"] == "a call to the number shown, at most asserted"
    simulator.exchange._asked.clear()
    table = cli("doctor", code=1).stdout
    assert "send the text `[waitcall] 1` to a number that was shown" in table
    assert "WAITCALL_INBOX_ASSURANCE=network" in table
    monkeypatch.setenv("WAITCALL_INBOX_ASSURANCE", "network")
    simulator.exchange._asked.clear()
    assert told("inbox proves")["found"] == "a call to the number shown, at most network"


def test_the_doctor_reports_a_provider_that_is_away(
    running: Running, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITCALL_SMSC_URLS", "http://127.0.0.1:9/sys")
    rows = json.loads(cli("doctor", "--json", code=1).stdout)
    by_check = {each["check"]: each for each in rows}
    assert by_check["inbox"]["state"] == "warning"
    assert "provider_unavailable" in by_check["inbox"]["found"]
    assert "address to register" in by_check


def test_the_doctor_names_each_loosening(running: Running, cli: Cli, listening: str) -> None:
    rows = json.loads(cli("doctor", "--url", listening, "--json", code=1).stdout)
    settings = [each for each in rows if each["check"] == "settings"]
    assert {each["state"] for each in settings} == {"warning"}
    codes = [each["found"] for each in settings if each["found"].startswith("purposes.two_steps sends codes")]
    assert len(codes) == 1, "each weakness has a row of its own"


def test_the_doctor_names_what_is_broken(running: Running, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAITCALL_SMSC_APIKEY", "wrong")
    told = cli("doctor", "--json", code=1)
    states = {each["check"]: each["state"] for each in json.loads(told.stdout)}
    # Nothing listens at the handler's address, and the credentials are wrong.
    assert states["handler"] == "failure"
    assert states["provider"] == "failure"
    assert states["redis"] == "ok"
    monkeypatch.setenv("WAITCALL_REDIS_URL", "redis://127.0.0.1:1/0")
    states = {each["check"]: each["state"] for each in json.loads(cli("doctor", "--json", code=1).stdout)}
    assert states["redis"] == "failure"


@pytest.mark.parametrize(("ours", "told"), [(60, "behind"), (-60, "ahead of")])
def test_the_doctor_names_a_clock_of_redis_that_differs(
    running: Running, cli: Cli, monkeypatch: pytest.MonkeyPatch, ours: int, told: str
) -> None:
    monkeypatch.setattr(connection, "time", lambda: time.time() + ours)
    rows = json.loads(cli("doctor", "--json", code=1).stdout)
    (clock,) = (each for each in rows if each["check"] == "clock")
    assert clock["state"] == "failure"
    # A busy machine answers a little late, so the difference may be up to a second less.
    assert re.fullmatch(rf"Redis' is (59|60)\.\d s {told} ours", clock["found"])


def test_the_doctor_looks_at_the_second_provider(
    running: Running, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listening: str
) -> None:
    running.simulator.cabinet.rent("79585550000", "0")
    (tmp_path / "policy.toml").write_text(POLICY + '\n[routing]\ndefault = ["smsc", "smsru"]\n')
    monkeypatch.setenv("WAITCALL_SMSRU_API_ID", running.simulator.callcheck.account.api_id)
    monkeypatch.setenv("WAITCALL_SMSRU_URL", running.simulator.smsru_url)

    def rows(code: int) -> dict[str, dict[str, str]]:
        return {each["check"]: each for each in json.loads(cli("doctor", "--json", code=code).stdout)}

    # The application under test was built without the second provider, so it has no handler for it.
    found = rows(1)
    assert found["smsru"]["state"] == "ok"
    assert "4122.56; dialled_in_callback, poll" in found["smsru"]["found"]
    assert found["handler for smsru"]["state"] == "failure"
    assert found["address to register at smsru"]["found"].endswith("/callbacks/smsru")
    monkeypatch.setenv("WAITCALL_SMSRU_API_ID", "a-key-of-somebody-else")
    assert rows(1)["smsru"]["state"] == "failure"


def test_the_doctor_looks_for_no_handler_here_if_other_processes_serve_it(
    running: Running, cli: Cli, listening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAITCALL_SURFACES", "api")
    running.simulator.cabinet.rent("79585550000", "0")
    alone = {each["check"]: each["state"] for each in json.loads(cli("doctor", "--json").stdout)}
    named = json.loads(cli("doctor", "--url", listening, "--json").stdout)
    assert alone["handler"] == "warning"
    assert {each["check"]: each["state"] for each in named if "handler" in each["check"]} == {
        "handler, from outside": "ok"
    }


def test_the_doctor_asks_smsc_nothing_where_only_the_second_provider_is_used(
    running: Running, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = 'dial_regions = ["RU"]\n[purposes.login]\n[clients.web]\npurposes = ["login"]\n[routing]\ndefault = ["smsru"]\n'
    (tmp_path / "policy.toml").write_text(policy)
    monkeypatch.setenv("WAITCALL_SMSC_APIKEY", "")
    monkeypatch.setenv("WAITCALL_SMSRU_API_ID", running.simulator.callcheck.account.api_id)
    monkeypatch.setenv("WAITCALL_SMSRU_URL", running.simulator.smsru_url)
    checks = {each["check"]: each for each in json.loads(cli("doctor", "--json", code=1).stdout)}
    assert checks["smsru"]["state"] == "ok"
    assert checks.keys().isdisjoint({"provider", "inbox", "inbox proves", "address to register"})


def test_one_verification_is_shown_and_found(running: Running, cli: Cli) -> None:
    made = running.create(purpose="any_channel", channel="text_in").get_json()
    shown = json.loads(cli("show", "-", "--json", given=made["id"] + "\n").stdout)
    assert (shown["id"], shown["client"], shown["status"]) == (made["id"], "web", "pending")
    assert shown["text_in"]["text"] == "***"
    assert json.loads(cli("find", "-", "--json", given=NUMBER).stdout)["id"] == made["id"]
    assert made["id"] in cli("find", NUMBER).stdout
    assert "not_found" in cli("find", "+79991234568", code=1).output
    assert "not_found" in cli("show", "ver_nothing", code=1).output
    assert {"show", "find"} <= {each["event"] for each in audited(cli)}


def test_the_balance_says_when_it_is_low(running: Running, cli: Cli) -> None:
    assert json.loads(cli("balance", "--json").stdout) == {"balance": "1000.00", "low": False}
    running.simulator.exchange.balance = "3.00"
    assert "yes" in cli("balance", code=3).stdout


def test_a_lost_call_is_reported_by_hand(running: Running, cli: Cli, listening: str) -> None:
    made = running.create().get_json()
    assert cli("replay-callback", NUMBER, "--reason", "ticket 7", given="n\n", code=1)
    assert running.get(f"/v1/verifications/{made['id']}").get_json()["status"] == "pending"
    told = cli("replay-callback", NUMBER, "--yes", "--reason", "ticket 7", "--operator", "anna")
    assert told.stdout.strip() == "200 OK"

    assert running.get(f"/v1/verifications/{made['id']}").get_json()["status"] == "verified"
    (entry,) = [each for each in audited(cli) if each["event"] == "replay_callback"]
    assert (entry["actor"], entry["reason"]) == ("operator:anna", "ticket 7")
    assert SECRET not in told.output


@pytest.mark.parametrize("words", [[], ["--json"]], ids=["person", "program"])
def test_a_whole_verification_in_the_terminal(
    running: Running, cli: Cli, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not words:
        monkeypatch.setattr(sys.modules["waitcall.cli.verify"], "is_watched", lambda: True)

    def person() -> None:
        orders = running.simulator.exchange.orders
        wait_for(lambda: orders)
        # The call is repeated until it counts, because the number is shown a moment after its order.
        wait_for(called)

    def called() -> bool:
        running.clock.now = datetime.now(UTC)
        running.call()
        return running.metrics().get('waitcall_callbacks_total{kind="call",outcome="confirmed"}', 0) > 0

    calling = threading.Thread(target=person)
    calling.start()
    told = cli("verify", NUMBER, "--purpose", "login", *words)
    calling.join(20)

    if words:
        answer = json.loads(told.stdout)
        assert (answer["status"], answer["reason"], answer["channel"]) == ("consumed", "call_matched", "call")
    else:
        assert told.stdout == f"✓ Verified {NUMBER} by call: asserted\n"
    assert "Call +7 958 555" in told.stderr
    # The countdown and the QR code are for a terminal.
    assert ("left" in told.stderr) == ("█" in told.stderr) == (not words)


def test_a_code_is_typed_in_the_terminal(running: Running, cli: Cli) -> None:
    wrong = "\n".join(["000000"] * 5) + "\n"
    told = cli("verify", NUMBER, "--purpose", "any_channel", "--channel", "code", given=wrong, code=3)
    assert told.stdout == "✗ Not verified: failed, attempts_spent\n"
    assert told.stderr.count("Wrong.") == 5


def test_the_command_line_completes_in_bash(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_WAITCALL_COMPLETE", "bash_source")
    result = CliRunner().invoke(main, prog_name="waitcall")
    assert "complete -o nosort -F" in result.output
