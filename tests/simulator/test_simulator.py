"""The simulator behaves as smsc-api.md says the provider does."""

import hashlib
import json
import re
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from simulator.__main__ import read_example
from simulator.dialler import Handler
from simulator.exchange import POOL
from simulator.fixed import read_fixed
from simulator.server import Options, Simulator
from simulator.smsru import SmsruAccount
from tests.redis_servers import wait_for
from waitcall.adapters.providers.smsc.callback import SmscCallbackDecoder
from waitcall.domain.code import CodeDelivery, DeliveryReport
from waitcall.domain.matching import InboundCall, InboundText

SECRET = "a-secret-of-the-tests"
CREDENTIALS = {"apikey": "sim-apikey"}


class Receiver(BaseHTTPRequestHandler):
    """HTTP handler registered for callbacks. It keeps the query string and the body of each request."""

    received: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.received.append((self.path.partition("?")[2], body))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"OK")

    do_GET = do_POST  # noqa: N815  the base class names it so

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def received() -> list[tuple[str, bytes]]:
    return []


@pytest.fixture
def simulator(received: list) -> Iterator[Simulator]:
    server = HTTPServer(("127.0.0.1", 0), type("Mine", (Receiver,), {"received": received}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    handler = Handler(f"http://127.0.0.1:{server.server_port}/callbacks/smsc", SECRET)
    with Simulator(Options(handler, calm=True, seed=1)) as running:
        yield running
    server.shutdown()
    server.server_close()


def ask(simulator: Simulator, script: str, method: str = "POST", **fields: str) -> str:
    encoded = urllib.parse.urlencode(CREDENTIALS | fields)
    url = f"{simulator.base_url}/{script}"
    request = urllib.request.Request(url, encoded.encode()) if method == "POST" else f"{url}?{encoded}"
    with urllib.request.urlopen(request, timeout=5) as response:
        text: str = response.read().decode("utf-8")
        return text


def control(simulator: Simulator, path: str, **body: Any) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{simulator.control_url}{path}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_order_is_answered_in_every_format(simulator: Simulator, method: str) -> None:
    def order(fmt: str) -> str:
        return ask(simulator, "wait_call.php", method, phone="79991234567", fmt=fmt, charset="utf-8")

    answer = json.loads(order("3"))
    assert answer["phone"] in answer["all_phones"]
    assert tuple(answer["all_phones"]) == POOL
    assert order("2").startswith("<result><phone>7958555")
    assert order("1").split(",")[1:] == list(POOL)
    assert "all_phones" in order("0")


@pytest.mark.parametrize(
    ("fmt", "text"),
    [
        ("0", "ERROR = 2 (authorise error)"),
        ("1", "0,-2"),
        ("2", "<result><error>authorise error</error><error_code>2</error_code></result>"),
        ("3", '{"error": "authorise error", "error_code": 2}'),
    ],
)
def test_an_error_is_answered_in_every_format(simulator: Simulator, fmt: str, text: str) -> None:
    scripts = ("wait_call", "get", "balance", "send", "status", "receive_phones", "downloads")
    for script in (f"{each}.php" for each in scripts):
        assert ask(simulator, script, apikey="wrong", phone="79991234567", fmt=fmt) == text


@pytest.mark.parametrize("phone", ["", "abc", "123", "+", "+7999x234567", "+" * 2 + "79991234567"])
def test_a_wrong_phone_is_code_1(simulator: Simulator, phone: str) -> None:
    assert json.loads(ask(simulator, "wait_call.php", phone=phone, fmt="3"))["error_code"] == 1


@pytest.mark.parametrize(
    ("phone", "known"),
    [("+79991234567", "79991234567"), ("89991234567", "79991234567"), (" 79991234567", "79991234567"),
     ("77012345678", "77012345678"), ("+8613912345678", "8613912345678"), ("8613912345678", "8613912345678"), ("+89991234567", "89991234567")],
)  # fmt: skip
def test_a_number_may_have_a_plus_and_eight_is_corrected_to_seven(
    simulator: Simulator, phone: str, known: str
) -> None:
    assert "phone" in json.loads(ask(simulator, "wait_call.php", phone=phone, fmt="3"))
    assert list(simulator.exchange.orders) == [known]
    ask(simulator, "send.php", phones=phone, mes="hello", id="7")
    assert [each.phone for each in simulator.office.sent] == [known]
    assert ask(simulator, "status.php", phone=phone, id="7", fmt="1").startswith("0,")


@pytest.mark.parametrize(
    "psw",
    ["sim-password", hashlib.md5(b"sim-password").hexdigest(), hashlib.sha1(b"sim-password").hexdigest()],
)
def test_each_form_of_credentials_is_let_in(simulator: Simulator, psw: str) -> None:
    answer = ask(simulator, "balance.php", apikey="", login="sim", psw=psw, fmt="3")
    assert json.loads(answer) == {"balance": "250.80"}
    assert json.loads(ask(simulator, "balance.php", login="sim", fmt="3")) == {"balance": "250.80"}
    for wrong in ({"psw": psw.upper()}, {"psw": psw, "login": "other"}, {"psw": ""}):
        asked = {"apikey": "", "login": "sim", "fmt": "3"} | wrong
        assert json.loads(ask(simulator, "balance.php", **asked))["error_code"] == 2


@pytest.mark.parametrize(
    ("script", "ceiling", "fields"),
    [
        ("wait_call.php", 50, {"phone": "79991234567"}),
        ("get.php", 3, {"get_answers": "1"}),
        ("balance.php", 10, {}),
        ("send.php", 1, {"phones": "79991234567", "mes": "hello"}),
        ("status.php", 5, {"phone": "79991234567", "id": "1"}),
        ("receive_phones.php", 2, {"get": "1"}),
        ("downloads.php", 3, {"get_list": "1"}),
    ],
)
def test_identical_requests_have_the_documented_limits(
    simulator: Simulator, script: str, ceiling: int, fields: dict
) -> None:
    for _ in range(ceiling):
        assert "error" not in ask(simulator, script, fmt="3", **fields)
    assert json.loads(ask(simulator, script, fmt="3", **fields))["error_code"] == 9
    control(simulator, "/clock", advance=61)
    assert "error" not in ask(simulator, script, fmt="3", **fields)


def test_requests_that_differ_are_not_limited(simulator: Simulator) -> None:
    for last in range(60):
        assert "error" not in ask(simulator, "wait_call.php", fmt="3", phone=f"799912345{last:02d}")


def test_a_call_is_reported_and_stands_in_the_inbox(simulator: Simulator, received: list) -> None:
    did = json.loads(ask(simulator, "wait_call.php", phone="79991234567", fmt="3"))["phone"]
    status, answer = control(simulator, "/dial", cli="+79991234567", did=f"+{did}")
    assert (status, answer["reported"]) == (200, True)

    fields = dict(urllib.parse.parse_qsl(received[0][1].decode()))
    expected = hashlib.sha1(f"79991234567:{fields['ts']}:{SECRET}".encode()).hexdigest()
    assert (fields["waitcall"], fields["phone"], fields["sha1"]) == ("1", "79991234567", expected)
    inbox = json.loads(ask(simulator, "get.php", get_answers="1", fmt="3"))
    assert [(1, "79991234567", did)] == [(each["id"], each["phone"], each["to_phone"]) for each in inbox]
    assert inbox[0]["message"].startswith("[waitcall]")
    assert json.loads(ask(simulator, "get.php", get_answers="1", after_id="1", fmt="3")) == []


def test_a_call_without_a_live_order_is_not_reported(simulator: Simulator, received: list) -> None:
    assert control(simulator, "/dial", cli="79991234567", did=POOL[0])[1]["reported"] is False
    ask(simulator, "wait_call.php", phone="79991234567", fmt="3")
    assert control(simulator, "/dial", cli="79991234567", did="79990000000")[1]["reported"] is False
    control(simulator, "/clock", advance=901)
    assert control(simulator, "/dial", cli="79991234567", did=POOL[0])[1]["reported"] is False
    assert received == []


@pytest.mark.parametrize("form", ["form", "xml", "json"])
@pytest.mark.parametrize("charset", ["windows-1251", "utf-8", "koi8-r"])
@pytest.mark.parametrize("hash_name", ["md5", "sha1", "crc32"])
def test_the_service_reads_every_message_that_the_simulator_writes(
    simulator: Simulator, received: list, form: str, charset: str, hash_name: str
) -> None:
    """Simulator and service share no code, so each confirms how the other understood smsc-api.md."""
    how = {"form": form, "charset": charset, "hash": hash_name}
    call = {"waitcall": "1", "phone": "79991234567", "ts": "1700000000"}
    sms = {"phone": "79991234567", "mes": "Привет & <мир>", "to": "79037676765"}
    status = {"id": "1001", "phone": "79991234567", "status": "0"}
    for kind, fields in (("call", call), ("sms", sms), ("status", status)):
        for travel in ({}, {"in_query": ["phone"]}, {"method": "GET"}):
            control(simulator, "/message", kind=kind, fields=fields, **how, **travel)
            message = SmscCallbackDecoder(hash_name, [SECRET]).decode(
                received[-1][0].encode(), received[-1][1]
            )
            if kind == "call":
                assert isinstance(message, InboundCall)
                assert (message.cli, message.at.timestamp()) == ("+79991234567", 1700000000)
            elif kind == "sms":
                assert message == InboundText("+79991234567", "+79037676765", "Привет & <мир>")
            else:
                assert message == DeliveryReport(1001, "+79991234567", CodeDelivery.QUEUED)


def test_callbacks_can_be_doubled_delayed_reordered_and_lost(simulator: Simulator, received: list) -> None:
    for last in (1, 2, 3, 4):
        ask(simulator, "wait_call.php", phone=f"7999123456{last}", fmt="3")
    control(simulator, "/dial", cli="79991234561", did=POOL[0], copies=3)
    control(simulator, "/dial", cli="79991234562", did=POOL[0], lose=True)
    control(simulator, "/dial", cli="79991234563", did=POOL[0], delay_seconds=3)
    control(simulator, "/dial", cli="79991234564", did=POOL[0])
    wait_for(lambda: len(received) == 5)

    order = [dict(urllib.parse.parse_qsl(body.decode()))["phone"][-1] for _, body in received]
    assert order == ["1", "1", "1", "4", "3"]


def test_random_duplicates_and_delays_repeat_with_the_seed(simulator: Simulator) -> None:
    from random import Random  # noqa: PLC0415

    from simulator.dialler import Delivery, Dialler  # noqa: PLC0415

    def rolled(seed: int) -> list[Delivery]:
        dialler = Dialler(simulator.dialler.handler, lambda _: None, Random(seed), calm=False)
        return [dialler.temper(Delivery()) for _ in range(200)]

    assert rolled(1) == rolled(1)
    assert {1, 2} == {delivery.copies for delivery in rolled(1)}
    assert {0.0, 1.0} == {delivery.delay_seconds for delivery in rolled(1)}


def test_the_ledger_remembers_and_a_reset_forgets(simulator: Simulator) -> None:
    ask(simulator, "wait_call.php", phone="79991234567", fmt="3")
    with urllib.request.urlopen(f"{simulator.control_url}/ledger", timeout=5) as response:
        ledger = json.load(response)["ledger"]
    assert [(e["door"], e["endpoint"], e["fields"]["apikey"]) for e in ledger] == [
        ("front", "wait_call", "***")
    ]

    assert control(simulator, "/reset")[0] == 200
    assert simulator.exchange.ledger == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/dial", {"cli": "x", "did": "1"}),
        ("/dial", {}),
        ("/message", {"kind": "fax", "fields": {}}),
        ("/message", {"kind": "call", "fields": {"phone": "1"}}),
        ("/message", {"kind": "call", "fields": {"phone": "1", "ts": "1"}, "charset": "utf-16"}),
        ("/faults", {"steps": [{"kind": "meteor"}]}),
        ("/clock", {"advance": "soon"}),
    ],
)
def test_an_invalid_control_request_gets_400_and_a_reason(
    simulator: Simulator, path: str, body: dict
) -> None:
    status, answer = control(simulator, path, **body)

    assert status == 400
    assert answer["error"]


def test_a_message_is_sent_reported_and_found(simulator: Simulator, received: list) -> None:
    answer = json.loads(ask(simulator, "send.php", phones="79991234567", mes="Привет", id="42", fmt="3"))
    assert answer == {"id": 42, "cnt": 1}
    control(simulator, "/deliver", id=42, phone="79991234567", status=20, err=6)
    fields = dict(urllib.parse.parse_qsl(received[0][1].decode()))
    digest = hashlib.sha1(f"42:79991234567:20:{SECRET}".encode()).hexdigest()
    assert (fields["status"], fields["err"], fields["sha1"]) == ("20", "6", digest)
    found = json.loads(ask(simulator, "status.php", phone="79991234567", id="42", fmt="3"))
    assert (found["status"], found["err"]) == (20, 6)
    assert json.loads(ask(simulator, "status.php", phone="79991234567", id="43", fmt="3"))["status"] == -3
    with urllib.request.urlopen(f"{simulator.control_url}/messages?phone=79991234567", timeout=5) as response:
        assert [each["text"] for each in json.load(response)["messages"]] == ["Привет"]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"phones": "", "mes": "x"}, 1),
        ({"phones": "79991234567", "mes": ""}, 1),
        ({"phones": "79991234567", "mes": "x" * 1001}, 1),
        ({"phones": "79991234567", "mes": "online casino"}, 6),
        ({"phones": "1234", "mes": "x"}, 7),
        ({"phones": "79991234567", "mes": "x", "imgcode": "ab", "userip": "127.0.0.1"}, 1),
    ],
)
def test_a_message_that_is_refused_gets_the_documented_code(
    simulator: Simulator, fields: dict, code: int
) -> None:
    assert json.loads(ask(simulator, "send.php", fmt="3", **fields))["error_code"] == code
    assert simulator.office.sent == []


def test_a_price_is_asked_for_without_sending(simulator: Simulator) -> None:
    assert "cost" in json.loads(ask(simulator, "send.php", phones="79991234567", mes="x", cost="1", fmt="3"))
    assert simulator.office.sent == []


@pytest.mark.parametrize(
    ("cost", "fmt", "answer"),
    [
        ("0", "0", "OK - 2 SMS, ID - 42"),
        ("0", "1", "42,2"),
        ("0", "2", "<result><id>42</id><cnt>2</cnt></result>"),
        ("1", "1", "3.50,1"),
        ("2", "1", "42,2,7.00"),
        ("2", "3", '{"id": 42, "cnt": 2, "cost": "7.00"}'),
        ("3", "1", "42,2,7.00,250.80"),
        ("3", "3", '{"id": 42, "cnt": 2, "cost": "7.00", "balance": "250.80"}'),
    ],
)
def test_a_message_is_answered_with_its_cost_and_the_balance(
    simulator: Simulator, cost: str, fmt: str, answer: str
) -> None:
    asked = {"phones": "79991234567;79991234568", "mes": "hello", "id": "42", "cost": cost, "fmt": fmt}
    assert ask(simulator, "send.php", **asked) == answer


def test_a_status_is_answered_in_every_format_with_its_details(simulator: Simulator) -> None:
    ask(simulator, "send.php", phones="79991234567,79991234568", mes="hello, you", id="42", sender="Us")
    at = int(simulator.office.sent[0].at)

    def status(**fields: str) -> str:
        simulator.exchange._asked.clear()
        asked = {"phone": "79991234567", "id": "42", "charset": "utf-8"} | fields
        return ask(simulator, "status.php", **asked)

    assert status(fmt="1") == f"0,{at},0"
    assert status(fmt="0").startswith("Status = 0, check_time = ")
    assert status(fmt="2").startswith("<result><status>0</status><last_date>")
    line = f"0,{at},0,{at},79991234567,3.50,Us,Передано оператору,hello, you"
    assert status(fmt="1", all="1") == status(fmt="1", all="2") == line
    plain, more, most = (json.loads(status(fmt="3", all=each)) for each in "012")
    assert list(plain) == ["status", "last_date", "last_timestamp", "err"]
    assert (more["message"], more["send_timestamp"], more["type"]) == ("hello, you", at, 0)
    assert most.keys() - more.keys() == {"country", "operator", "region"}
    for one in ({"id": "42,"}, {"id": "42,", "phone": "79991234567,"}):
        assert json.loads(status(fmt="3", **one)) == [plain | {"id": 42}]
    both = {"id": "42,43", "phone": "79991234567,79991234568"}
    assert [each["status"] for each in json.loads(status(fmt="3", **both))] == [0, -3]
    assert [each["id"] for each in json.loads(status(fmt="3", id="42,43"))] == [42, 43]
    assert len(json.loads(status(fmt="3", id="42,", phone="79991234567,79991234568"))) == 2
    assert status(fmt="1", **both) == f"0,{at},0\n-3,0,0"


def test_messages_and_statuses_are_taken_as_json_too(simulator: Simulator) -> None:
    def rest(path: str, **fields: Any) -> Any:
        url = simulator.base_url.removesuffix("/sys") + f"/rest/{path}/"
        body = json.dumps(fields).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as response:
            return json.load(response)

    who = {"login": "sim", "psw": "sim-password"}
    sent = rest("send", **who, phones=["79991234567", 79991234568], mes="Привет", id=42, cost=3)
    assert sent == {"id": 42, "cnt": 2, "cost": "7.00", "balance": "250.80"}
    assert [each.text for each in simulator.office.sent] == ["Привет"] * 2
    assert rest("status", **who, phone="79991234567", id=42)["status"] == 0
    assert rest("send", phones="79991234567", mes="x") == {"error": "authorise error", "error_code": 2}


@pytest.mark.parametrize(
    ("registered", "in_query"),
    [
        ("?charset=utf-8&md5={secret}&own=token", set()),
        ("!own=token?charset=utf-8&md5={secret}", {"own"}),
        ("!own=token&md5={secret}?charset=utf-8", {"own", "md5"}),
        ("!charset=utf-8&md5={secret}&own=token", {"own", "md5", "charset"}),
        ("?fmt=2&charset=utf-8&md5={secret}&own=token", set()),
        ("!own?fmt=3&charset=utf-8&md5={secret}", {"own"}),
    ],
)
def test_the_parameters_of_the_registered_url_come_back(
    simulator: Simulator, received: list, registered: str, in_query: set[str]
) -> None:
    url = simulator.dialler.handler.url + registered.format(secret="the-urls-own-secret")
    with Simulator(Options(Handler(url, SECRET), calm=True)) as other:
        for kind, fields, message in (
            ("call", {"waitcall": "1", "phone": "79991234567", "ts": "1700000000"}, InboundCall),
            ("sms", {"phone": "79991234567", "mes": "Привет", "to": "79037676765"}, InboundText),
            ("status", {"id": "1001", "phone": "79991234567", "status": "0"}, DeliveryReport),
        ):
            control(other, "/message", kind=kind, fields=fields)
            query, body = received[-1]
            assert set(dict(urllib.parse.parse_qsl(query, keep_blank_values=True))) == in_query
            assert ("token" in query + body.decode()) == ("token" in registered)
            assert "secret" not in query + body.decode()
            read = SmscCallbackDecoder("md5", ["the-urls-own-secret"]).decode(query.encode(), body)
            assert isinstance(read, message)


def test_the_inbox_lists_the_records_of_one_number(simulator: Simulator) -> None:
    for to in ("79585550000", "79585550001", "79585550000"):
        control(simulator, "/text", cli="79991234567", to=to, text="hello", lose=True)
    for given in ("79585550000", "+79585550000"):
        listed = json.loads(ask(simulator, "get.php", get_answers="1", to_phone=given, cnt="1", fmt="3"))
        assert [each["id"] for each in listed] == [1]
    listed = json.loads(
        ask(simulator, "get.php", get_answers="1", to_phone="79585550000", after_id="1", fmt="3")
    )
    assert [each["id"] for each in listed] == [3]


def test_the_inbox_names_the_dialled_number_another_or_none(simulator: Simulator) -> None:
    for order in ({}, {"to_phone": "79585559999"}, {"to_phone": None}):
        did = json.loads(ask(simulator, "wait_call.php", phone="79991234567", fmt="3"))["phone"]
        control(simulator, "/dial", cli="79991234567", did=did, lose=True, **order)
    inbox = json.loads(ask(simulator, "get.php", get_answers="1", fmt="3"))
    assert [each["to_phone"] for each in inbox] == [inbox[0]["to_phone"], "79585559999", None]
    assert inbox[0]["to_phone"] in POOL


def test_a_forged_text_stands_in_the_inbox_like_a_call_and_its_message_may_be_lost_or_late(
    simulator: Simulator, received: list
) -> None:
    forged = {"cli": "79991234567", "to": POOL[0], "text": "[waitcall] hello"}
    control(simulator, "/text", **forged, lose=True)
    assert received == []
    assert control(simulator, "/text", **forged, delay_seconds=0.01)[1] == {"sent": []}
    wait_for(lambda: received)
    read = SmscCallbackDecoder("sha1", [SECRET]).decode(*received[0])
    assert read == InboundText("+79991234567", f"+{POOL[0]}", "[waitcall] hello", like_call=True)
    inbox = json.loads(ask(simulator, "get.php", get_answers="1", fmt="3"))
    assert [(each["message"], each["to_phone"]) for each in inbox] == [("[waitcall] hello", POOL[0])] * 2


def test_a_text_of_a_person_is_reported_and_stands_in_the_inbox(simulator: Simulator, received: list) -> None:
    control(simulator, "/text", cli="+79991234567", to="79585550000", text="Да: нет")
    fields = dict(urllib.parse.parse_qsl(received[0][1].decode()))
    digest = hashlib.sha1(f"79991234567:Да: нет:79585550000:{SECRET}".encode()).hexdigest()
    assert (fields["mes"], fields["to"], fields["sha1"]) == ("Да: нет", "79585550000", digest)
    (record,) = json.loads(ask(simulator, "get.php", get_answers="1", fmt="3", charset="utf-8"))
    assert (record["message"], record["to_phone"]) == ("Да: нет", "79585550000")


def test_a_number_is_rented_once_and_paid(simulator: Simulator) -> None:
    def phones(**fields: str) -> Any:
        return json.loads(ask(simulator, "receive_phones.php", fmt="3", **fields))

    assert [each["phone"] for each in phones(get="1")] == ["79585550000", "79585550001", "79585550002"]
    assert phones(buy="1", phone="79585550000", noprolong="1") == {"cost": "180.00"}
    assert phones(buy="1", phone="79585550000")["error_code"] == 1
    assert [each["phone"] for each in phones(get="1")] == ["79585550001", "79585550002"]
    assert phones(buy="1", phone="79585550001")["error_code"] == 3
    assert phones(chg="1", phone="79585550000", noprolong="0") == {"result": "OK"}
    assert json.loads(ask(simulator, "balance.php", fmt="3")) == {"balance": "70.80"}


def test_a_task_has_a_file_once_it_is_done(simulator: Simulator) -> None:
    ask(simulator, "send.php", phones="79991234567", mes="hello", id="42", fmt="3")
    control(simulator, "/task", name="week", status=1)
    control(simulator, "/task", name="week", status=2)
    listed = json.loads(ask(simulator, "downloads.php", get_list="1", fmt="3"))
    assert [(each["id"], each["status"], each["file"]) for each in listed] == [
        (1, 1, ""),
        (2, 2, "week_2.csv"),
    ]
    assert json.loads(ask(simulator, "downloads.php", get_file="1", id="1", fmt="3"))["error_code"] == 3
    assert ask(simulator, "downloads.php", get_file="1", id="2").splitlines()[1].startswith("42;79991234567;")


def test_the_handset_is_served_and_its_policy_allows_no_inline_script(simulator: Simulator) -> None:
    with urllib.request.urlopen(simulator.control_url + "/", timeout=5) as response:
        page, policy = response.read().decode(), response.headers["Content-Security-Policy"]
    assert "Your number" in page
    assert "<code>make examples</code> starts a login to try." in page
    assert "http" not in page
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<(?:script|style)[^>]*>|\son\w+=", page) == [
        '<script src="/static/handset.js" defer>'
    ]


def test_a_call_with_a_hidden_number_is_not_reported(simulator: Simulator) -> None:
    did = json.loads(ask(simulator, "wait_call.php", phone="79991234567", fmt="3"))["phone"]
    answer = control(simulator, "/dial", cli="79991234567", did=did, hidden=True)
    assert answer == (200, {"reported": False, "sent": []})
    assert simulator.exchange.inbox == []
    assert control(simulator, "/dial", cli="79991234567", did=did, hidden=False)[1]["reported"] is True


@pytest.mark.parametrize("text", ["", "Log in", "=http://127.0.0.1/", "Log in=javascript:alert(1)"])
def test_an_example_needs_a_name_and_a_url(text: str) -> None:
    with pytest.raises(ValueError, match="NAME=URL"):
        read_example(text)
    assert read_example("Log in=http://127.0.0.1:1/?a=b") == ("Log in", "http://127.0.0.1:1/?a=b")


@pytest.mark.parametrize("has_ipv6", [True, False])
def test_every_address_is_of_both_families_or_of_the_one_that_the_kernel_has(
    monkeypatch: pytest.MonkeyPatch, has_ipv6: bool
) -> None:
    if not has_ipv6:
        monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    options = Options(Handler("http://127.0.0.1:9/", SECRET), host="::", expose=True)
    with Simulator(options) as running:
        port = urllib.parse.urlsplit(running.control_url).port
        for host in ("127.0.0.1", "[::1]") if has_ipv6 else ("127.0.0.1",):
            with urllib.request.urlopen(f"http://{host}:{port}/", timeout=5) as response:
                assert response.status == 200


def test_the_simulator_listens_on_loopback_unless_it_is_exposed() -> None:
    with pytest.raises(ValueError, match="loopback"):
        Simulator(Options(Handler("http://127.0.0.1:9/", SECRET), host="0.0.0.0"))
    with Simulator(Options(Handler("http://127.0.0.1:9/", SECRET), host="0.0.0.0", expose=True)):
        pass
    with pytest.raises(ValueError, match="http"):
        Simulator(Options(Handler("file:///etc/passwd", SECRET)))
    with pytest.raises(ValueError, match="http"):
        Simulator(
            Options(Handler("http://127.0.0.1:9/", SECRET), smsru=SmsruAccount("k", "file:///etc/passwd"))
        )


def fixed(*texts: str) -> Simulator:
    handler = Handler("http://127.0.0.1:9/callbacks/smsc", SECRET)
    return Simulator(Options(handler, calm=True, test_numbers=dict(map(read_fixed, texts))))


def test_a_test_number_calls_by_itself_after_an_order() -> None:
    with fixed("+79990000001=verified:0.01") as simulator:
        answer = json.loads(ask(simulator, "wait_call.php", phone="79990000001", fmt="3"))
        wait_for(lambda: simulator.exchange.inbox)
        (record,) = simulator.exchange.inbox
        assert (record["phone"], record["to_phone"]) == ("79990000001", answer["phone"])


def test_a_test_number_never_calls_or_gets_no_order() -> None:
    with fixed("+79990000002=expired", "79990000003=failed") as simulator:
        did = json.loads(ask(simulator, "wait_call.php", phone="79990000002", fmt="3"))["phone"]
        assert control(simulator, "/dial", cli="79990000002", did=did) == (
            200,
            {"reported": False, "sent": []},
        )
        refused = json.loads(ask(simulator, "wait_call.php", phone="79990000003", fmt="3"))
        assert refused["error_code"] == 1
        url = f"{simulator.smsru_url}/callcheck/add?api_id=sim-smsru-api-id-0001&phone=79990000003"
        with urllib.request.urlopen(url, timeout=5) as response:
            assert json.load(response)["status_code"] == 202


@pytest.mark.parametrize("text", ["", "+7999", "+7999=maybe", "abc=verified", "+7999=verified:soon"])
def test_a_wrong_test_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"NUMBER=OUTCOME|float"):
        read_fixed(text)
