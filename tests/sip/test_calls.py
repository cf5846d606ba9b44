"""Events and answers of the SIP proxy for calls of all kinds."""

import re
import time

import pytest

from tests.redis_servers import wait_for
from tests.sip.proxy import (
    CALLER,
    POOL,
    STRANGER,
    Caller,
    Proxy,
    Receiver,
    needs_kamailio,
    new_id,
)

pytestmark = needs_kamailio


def test_a_call_is_one_signed_event(caller: Caller, receiver: Receiver) -> None:
    began = int(time.time())

    event = receiver.event(caller.call())

    nonce, ts = event.pop("nonce"), event.pop("ts")
    assert re.fullmatch("[A-Za-z0-9_-]{16,64}", nonce)
    assert began <= ts <= time.time()
    assert event.pop("call_id")
    assert event == {
        "caller": CALLER,
        "dialled": POOL,
        "to": POOL,
        "private": False,
        "diverted": False,
        "attestation": "",
    }
    assert receiver.headers[-1]["Content-Type"] == "application/json"
    assert len(receiver.headers[-1]["X-Waitcall-Signature"]) == 43


def test_a_retransmission_gets_the_same_answer_and_is_no_second_event(
    proxy: Proxy, caller: Caller, receiver: Receiver
) -> None:
    call_id = new_id()
    message = caller.invite(call_id=call_id)
    for _ in range(3):
        caller.send(message)
    assert [caller.status() for _ in range(3)] == [486] * 3

    proxy.settle()

    assert len(receiver.events(call_id)) == 1


def test_a_fork_is_a_call_of_its_own(caller: Caller, receiver: Receiver) -> None:
    call_id = caller.call()
    caller.call(call_id=call_id, uri=f"sip:+15551230002@127.0.0.1:{caller.port}")

    wait_for(lambda: len(receiver.events(call_id)) == 2)

    assert {event["dialled"] for event in receiver.events(call_id)} == {POOL, "+15551230002"}


def test_a_caller_who_hangs_up_has_called(caller: Caller, receiver: Receiver) -> None:
    given = {"call_id": new_id(), "branch": new_id()}
    caller.send(caller.invite(**given))
    assert caller.status() == 486
    caller.send(caller.invite(method="CANCEL", **given))
    assert caller.status() == 200

    assert receiver.event(given["call_id"])["caller"] == CALLER


@pytest.mark.parametrize(
    ("method", "to", "status"),
    [
        ("OPTIONS", POOL, 200),
        ("REGISTER", POOL, 405),
        ("BYE", POOL, 405),
        ("MESSAGE", POOL, 405),
        ("CANCEL", POOL, 481),
        ("INVITE", f"{POOL};tag", 481),
    ],
)
def test_other_requests_are_answered_without_an_event(
    proxy: Proxy, caller: Caller, receiver: Receiver, method: str, to: str, status: int
) -> None:
    call_id = new_id()
    header = f"<sip:{POOL}@127.0.0.1>" + (";tag=7" if "tag" in to else "")
    caller.send(caller.invite(method=method, to=header, call_id=call_id))

    assert caller.status() == status
    proxy.settle()
    assert receiver.events(call_id) == []


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_a_stranger_gets_no_answer(proxy: Proxy, receiver: Receiver, method: str) -> None:
    before = proxy.metrics()["foreign_total"]
    call_id = new_id()
    with Caller(proxy.port, STRANGER) as stranger:
        stranger.send(stranger.invite(method=method, call_id=call_id))
        wait_for(lambda: proxy.metrics()["foreign_total"] == before + 1)
        stranger.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            stranger.answer()
    proxy.settle()
    assert receiver.events(call_id) == []


def test_a_flood_of_strangers_writes_few_lines_and_stops_no_call(
    proxy: Proxy, caller: Caller, receiver: Receiver
) -> None:
    before, lines = proxy.metrics()["foreign_total"], proxy.output.count("which is not of the trunk")
    with Caller(proxy.port, STRANGER) as stranger:
        for _ in range(100):
            stranger.send(stranger.invite())
        assert receiver.event(caller.call())
        wait_for(lambda: proxy.metrics()["foreign_total"] == before + 100)
    assert proxy.output.count("which is not of the trunk") - lines <= 20


def test_each_network_of_the_trunk_may_call(proxy: Proxy, receiver: Receiver) -> None:
    with Caller(proxy.port, "127.0.1.77") as other:
        assert receiver.event(other.call())


def test_a_call_to_no_number_is_no_event(proxy: Proxy, caller: Caller, receiver: Receiver) -> None:
    before = proxy.metrics()["calls_total:no_user"]
    call_id = caller.call(uri="sip:127.0.0.1")

    proxy.settle()
    assert receiver.events(call_id) == []
    assert proxy.metrics()["calls_total:no_user"] == before + 1


@pytest.mark.parametrize(
    "call_id",
    [
        'x","from":"+79990000000',
        'x\\","caller":"+79990000000","y":"',
        "a%b$var(nonce)@h",
        "x<y>{z}",
    ],
)
def test_quotes_in_a_call_id_add_no_member(caller: Caller, receiver: Receiver, call_id: str) -> None:
    unique = call_id + new_id()
    caller.call(call_id=unique)

    assert receiver.event(unique)["caller"] == CALLER


def test_what_is_not_utf_8_or_too_long_is_no_event(proxy: Proxy, caller: Caller, receiver: Receiver) -> None:
    before = proxy.metrics()["calls_total:unreadable"]
    caller.call(call_id="\xff\xfe" + new_id())
    caller.call(from_="<sip:\xff@carrier.example>;tag=1")
    caller.call(call_id="x" * 257)
    caller.call(call_id="x y" + new_id())
    caller.call(from_=f"<sip:{'9' * 1000}@carrier.example>;tag=1")

    assert proxy.metrics()["calls_total:unreadable"] == before + 5


def test_a_number_after_a_nul_is_not_taken_for_another(caller: Caller, receiver: Receiver) -> None:
    call_id = caller.call(from_="<sip:%00+12025550199@carrier.example>;tag=1")

    assert receiver.event(call_id)["caller"] == "%00+12025550199"


@pytest.mark.parametrize(
    ("user", "number"),
    [
        ("+15551230001", "+15551230001"),
        ("15551230001", "15551230001"),
        ("+15551230001;npdi", "+15551230001"),
        ("+15551230001;npdi;rn=+15559990000", "+15551230001"),
        ("%2B15551230001", "+15551230001"),
        ("%2b15551230001", "+15551230001"),
        ("+1%35551230001", "+1%35551230001"),
        ("+1555123000a", "+1555123000a"),
        ("9" * 300, "9" * 300),
    ],
)
def test_the_dialled_number_is_without_parameters(
    caller: Caller, receiver: Receiver, user: str, number: str
) -> None:
    event = receiver.event(caller.call(uri=f"sip:{user}@127.0.0.1:{caller.port}"))

    assert event["dialled"] == number


@pytest.mark.parametrize(
    ("user", "number"),
    [
        ("+12025550123", "+12025550123"),
        ("+12025550123;ext=5", "+12025550123"),
        ("+12025550123;verstat=TN-Validation-Passed", "+12025550123"),
        ("%2B12025550123", "+12025550123"),
        ("+12025550123:secret", "+12025550123"),
    ],
)
@pytest.mark.parametrize("header", ["From", "P-Asserted-Identity"])
def test_the_callers_number_is_without_parameters(
    caller: Caller, receiver: Receiver, header: str, user: str, number: str
) -> None:
    uri = f"<sip:{user}@carrier.example>"
    if header == "From":
        event = receiver.event(caller.call(from_=f"{uri};tag=1"))
    else:
        event = receiver.event(caller.call(f"{header}: {uri}", from_="<sip:+19990000000@x.example>;tag=1"))

    assert event["caller"] == number


@pytest.mark.parametrize(
    ("headers", "number"),
    [
        (["P-Asserted-Identity: <sip:+12025550111@c.example>"], "+12025550111"),
        (["P-Asserted-Identity: <tel:+12025550111>"], "+12025550111"),
        (["P-Asserted-Identity: <sip:+12025550111@c.example>, <tel:+12025550111>"], "+12025550111"),
        (["P-Asserted-Identity: <sip:+12025550111@c.example>", "P-Asserted-Identity: <tel:+12025550111>"], "+12025550111"),
        (["P-Asserted-Identity: <sip:+12025550111@c.example>, <tel:+12025550112>"], ""),
        (["P-Asserted-Identity: <sip:+12025550111@c.example>", "P-Asserted-Identity: <tel:+12025550112>"], ""),
        (["P-Asserted-Identity: <tel:+12025550111>"] * 2 + ["P-Asserted-Identity: <tel:+12025550112>"], ""),
        (["P-Asserted-Identity: <tel:+12025550111>, <tel:+12025550111>, <tel:+12025550111>, <tel:+12025550112>"], ""),
        (["P-Asserted-Identity: <sip:c.example>"], ""),
        (["P-Asserted-Identity: nonsense"], ""),
        (["P-Asserted-Identity: "], ""),
        (["P-Preferred-Identity: <sip:+12025550111@c.example>"], CALLER),
        (["Remote-Party-ID: <sip:+12025550111@c.example>"], CALLER),
    ],
)  # fmt: skip
def test_the_asserted_identity_of_the_trunk_names_the_caller(
    caller: Caller, receiver: Receiver, headers: list[str], number: str
) -> None:
    assert receiver.event(caller.call(*headers))["caller"] == number


ASSERTED = f"P-Asserted-Identity: <sip:{CALLER}@carrier.example>"


@pytest.mark.parametrize("asserted", [[], [ASSERTED]])
@pytest.mark.parametrize(
    ("headers", "from_"),
    [
        (["Privacy: id"], None),
        (["Privacy: ID"], None),
        (["Privacy: id;critical"], None),
        (["Privacy: critical; id"], None),
        (["Privacy: user"], None),
        (["Privacy: header;user"], None),
        (["Privacy: none", "Privacy: id"], None),
        ([f"Remote-Party-ID: <sip:{CALLER}@carrier.example>;party=calling;privacy=full"], None),
        ([], "<sip:anonymous@anonymous.invalid>;tag=1"),
        ([], '"Anonymous" <sip:Anonymous@Anonymous.Invalid>;tag=1'),
        ([], f"<sip:{CALLER}@anonymous.invalid>;tag=1"),
        ([], "<sip:anonymous@carrier.example>;tag=1"),
    ],
)
def test_a_withheld_number_is_not_reported_though_the_trunk_asserts_it(
    caller: Caller, receiver: Receiver, headers: list[str], from_: str | None, asserted: list[str]
) -> None:
    event = receiver.event(caller.call(*headers, *asserted, **({"from_": from_} if from_ else {})))

    assert (event["caller"], event["private"]) == ("", True)


@pytest.mark.parametrize(
    "user", ["anonymous", "Restricted", "unknown", "+266696687", "86282452253", "+464", "%2B8656696"]
)
@pytest.mark.parametrize("header", ["From", "P-Asserted-Identity"])
def test_a_spelling_of_a_withheld_number_is_not_reported(
    caller: Caller, receiver: Receiver, header: str, user: str
) -> None:
    uri = f"<sip:{user}@carrier.example>"
    call_id = caller.call(from_=f"{uri};tag=1") if header == "From" else caller.call(f"{header}: {uri}")
    event = receiver.event(call_id)

    assert (event["caller"], event["private"]) == ("", True)


@pytest.mark.parametrize("header", ["Privacy: none", "Privacy: session", "Privacy: critical"])
def test_other_kinds_of_privacy_hide_no_number(caller: Caller, receiver: Receiver, header: str) -> None:
    event = receiver.event(caller.call(header))

    assert (event["caller"], event["private"]) == (CALLER, False)


def test_a_caller_without_a_number_is_empty(caller: Caller, receiver: Receiver) -> None:
    event = receiver.event(caller.call(from_="<sip:carrier.example>;tag=1"))

    assert (event["caller"], event["private"]) == ("", False)


@pytest.mark.parametrize(
    ("headers", "to", "diverted"),
    [
        ([], f"<sip:{POOL}@127.0.0.1>", False),
        ([], f"<sip:{POOL[1:]}@127.0.0.1>", False),
        ([], f"<tel:{POOL}>", False),
        ([], f"<sip:%2B{POOL[1:]};npdi@127.0.0.1>", False),
        (["History-Info: <sip:+15551230001@c.example>;index=1"], None, False),
        (["Diversion: <sip:+12025550177@c.example>;reason=unconditional"], None, True),
        (["diversion: <sip:+12025550177@c.example>"], None, True),
        (["History-Info: <sip:a@c.example>;index=1, <sip:b@c.example>;index=1.1"], None, True),
        (["History-Info: <sip:a@c.example>;index=1", "History-Info: <sip:b@c.example>;index=1.1"], None, True),
        ([], "<sip:+12025550177@127.0.0.1>", True),
        ([], "<sip:reception@127.0.0.1>", True),
        ([], "<sip:127.0.0.1>", True),
        ([], "<foo:bar>", True),
        ([], "<urn:service:sos>", True),
    ],
)  # fmt: skip
def test_a_diverted_call_is_marked(
    caller: Caller, receiver: Receiver, headers: list[str], to: str | None, diverted: bool
) -> None:
    given = {"to": to} if to else {}
    event = receiver.event(caller.call(*headers, **given))

    assert event["diverted"] is diverted


def test_the_number_that_was_dialled_first_is_reported(caller: Caller, receiver: Receiver) -> None:
    event = receiver.event(caller.call(to="<sip:%2B12025550177;npdi@127.0.0.1>"))

    assert (event["to"], event["dialled"]) == ("+12025550177", POOL)


@pytest.mark.parametrize(
    "unreadable", ["<foo:bar>", "<urn:service:sos>", "<sip:@carrier.example>", "<tel:>", "<sip:>", "", "<>"]
)
@pytest.mark.parametrize("header", ["From", "P-Asserted-Identity"])
def test_an_unreadable_caller_is_no_earlier_caller(
    proxy: Proxy, caller: Caller, receiver: Receiver, header: str, unreadable: str
) -> None:
    """Kamailio keeps a variable's old value if it cannot read the new one."""
    given = {"from_": f"{unreadable};tag=1"} if header == "From" else {}
    headers = [] if given else [f"{header}: {unreadable}"]
    call_ids = [new_id() for _ in range(4)]
    for call_id in call_ids:
        caller.call()
        # Some of these get no answer, which must not be taken for the next call's.
        with Caller(proxy.port) as odd:
            odd.send(odd.invite(*headers, call_id=call_id, **given))
    caller.call()
    proxy.settle()

    found = {event["caller"] for call_id in call_ids for event in receiver.events(call_id)}
    assert found <= {"", "service"}


def test_no_number_is_logged(proxy: Proxy, caller: Caller) -> None:
    caller.call("P-Asserted-Identity: 12025550123", "Identity: 12025550123", "Privacy: 12025550123")

    assert "2025550123" not in proxy.output
