"""Test the whole service under gunicorn, with two workers, real sockets and a real Valkey."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from simulator.server import Simulator
from tests.end_to_end.conftest import (
    POLICY,
    ROOT,
    SECRET,
    Service,
    Starting,
    connections,
    production_command,
    sound_settings,
)
from tests.making import together
from tests.redis_servers import Cluster, Server, all_keys, free_port, wait_for

pytestmark = pytest.mark.slow


def test_the_main_job_through_the_simulator(service: Service, simulator: Simulator) -> None:
    """The person dials, and the simulated provider sends its callback to the callback listener."""
    made = service.create("+79991230001").json
    waiting: list = []
    reader = threading.Thread(target=lambda: waiting.append(service.read(made["id"], 30).json))
    reader.start()
    dialled = {"cli": "+79991230001", "did": made["call"]["number"]}
    sent = service.ask("POST", f"{simulator.control_url}/dial", dialled).json["sent"]
    reader.join(10)

    assert [(each["status"], each["answer"]) for each in sent] == [(200, "OK")]
    assert [read["status"] for read in waiting] == ["verified"]
    assert service.consume(made["id"]).json["status"] == "consumed"
    assert service.consume(made["id"]).status == 409


def test_exactly_one_of_many_equal_requests_succeeds_over_both_workers(
    service: Service, simulator: Simulator
) -> None:
    before = len(simulator.exchange.ledger)
    statuses = Counter(together(50, lambda _: service.create("+79991230002", reference=None).status))
    assert statuses == {201: 1, 409: 49}
    assert len(simulator.exchange.ledger) == before + 1

    made = service.create("+79991230003").json
    ts = int(time.time())
    assert Counter({200: 100}) == Counter(together(100, lambda _: service.call("79991230003", ts).status))
    assert Counter(together(100, lambda _: service.consume(made["id"]).status)) == {200: 1, 409: 99}


def test_counts_are_exact_over_all_workers_and_survive_a_killed_one(starting: Starting) -> None:
    service = starting(callback_port=str(free_port()))
    numbers = [f"7999124{index:04d}" for index in range(40)]
    made = [answer.json for answer in together(40, lambda index: service.create(f"+{numbers[index]}"))]
    together(40, lambda index: service.call(numbers[index], int(time.time())).status)
    together(40, lambda index: service.consume(made[index]["id"]).status)
    expected = {
        "waitcall_verifications_started_total": 40,
        "waitcall_verifications_verified_total": 40,
        "waitcall_verifications_finished_total": 40,
        "waitcall_provider_requests_total": 40,
        "waitcall_time_to_call_seconds_count": 40,
    }
    assert expected == {name: service.total(name) for name in expected}

    old = service.workers()
    assert len(old) == 2
    os.kill(old[0], signal.SIGKILL)
    wait_for(lambda: len(set(service.workers()) - set(old)) == 1)

    assert expected == {name: service.total(name) for name in expected}
    service.create("+79991250000")
    assert service.total("waitcall_verifications_started_total") == 41
    assert service.total("waitcall_build_info") == 1


def test_metrics_pass_promtool(service: Service) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (apt install prometheus)")
    service.create("+79991230004")
    text = service.ask("GET", f"{service.ops}/metrics").body
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_while_the_provider_hangs_everything_else_answers(starting: Starting, simulator: Simulator) -> None:
    """While 100 creates wait for the provider, reads, callbacks and consumes are answered."""
    service = starting(callback_port=str(free_port()), WAITCALL_SMSC_TIMEOUT_SECONDS="25")
    made = service.create("+79991230005").json
    simulator.faults.load([], {"kind": "hang"})
    before = len(simulator.exchange.ledger)
    held: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: held.append(service.create(f"+7999126{n:04d}").status))
        for n in range(100)
    ]
    try:
        for thread in threads:
            thread.start()
        wait_for(lambda: len(simulator.exchange.ledger) == before + 100)
        reads = together(50, lambda _: service.read(made["id"]).status)
        called = service.call("79991230005", int(time.time())).status
        consumed = service.consume(made["id"]).status
        assert (set(reads), called, consumed, held) == ({200}, 200, 200, [])
    finally:
        simulator.faults.load([], None)
        simulator.release()
        for thread in threads:
            thread.join()
    assert Counter({503: 100}) == Counter(held)


def test_a_hundred_long_polls_leave_room_for_everything_else(service: Service) -> None:
    made = service.create("+79991230006").json
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(service.read(made["id"], 30).json["status"]))
        for _ in range(100)
    ]
    for thread in threads:
        thread.start()
    assert {200} == set(together(20, lambda _: service.read(made["id"]).status))
    assert service.call("79991230006", int(time.time())).status == 200
    for thread in threads:
        thread.join(20)

    assert Counter({"verified": 100}) == Counter(answers)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a process another /etc/resolv.conf")
@pytest.mark.parametrize(
    "url",
    [
        "redis://redis.test",
        "redis+sentinel://one.redis.test,two.redis.test,three.redis.test/main",
        "redis+cluster://redis.test",
    ],
)
def test_everything_is_503_in_time_while_dns_does_not_answer(
    starting: Starting, service: Service, tmp_path: Path, url: str
) -> None:
    made = service.create("+79991230010").json
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("search a.test b.test c.test\noptions ndots:5\nnameserver 127.53.53.53\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.53.53.53", 53))
        lost = starting(
            ready=False,
            callback_port=str(free_port()),
            WAITCALL_REDIS_URL=url,
            resolv_conf=str(resolv_conf),
        )
        acts = {
            "create": lambda: lost.create("+79991230011"),
            "read": lambda: lost.read(made["id"]),
            "long poll": lambda: lost.read(made["id"], 30),
            "consume": lambda: lost.consume(made["id"]),
            "callback": lambda: lost.call("79991230010", int(time.time())),
            "ready": lambda: lost.ask("GET", f"{lost.ops}/readyz"),
        }
        for name, act in acts.items():
            began = time.monotonic()
            answer = act()
            assert (name, answer.status, answer.json["code"]) == (name, 503, "store_unavailable")
            assert time.monotonic() - began < 5, name
        assert silent.recv(512), "nothing was asked of this name server"
    assert "cannot be resolved" in lost.log.read_text()


def test_redis_away_is_503_everywhere_and_heals(starting: Starting, redis_server: Server) -> None:
    service = starting(callback_port=str(free_port()))
    made = service.create("+79991230007").json
    acts = {
        "create": lambda: service.create("+79991230008"),
        "create with a key": lambda: service.ask(
            "POST",
            f"{service.api}/v1/verifications",
            {"phone_number": "+79991230009", "purpose": "login"},
            Idempotency_Key="k",
        ),
        "read": lambda: service.read(made["id"]),
        "long poll": lambda: service.read(made["id"], 30),
        "consume": lambda: service.consume(made["id"]),
        "cancel": lambda: service.ask("DELETE", f"{service.api}/v1/verifications/{made['id']}"),
        "callback": lambda: service.call("79991230007", int(time.time())),
        "ready": lambda: service.ask("GET", f"{service.ops}/readyz"),
    }
    assert redis_server.process is not None
    for away in (signal.SIGSTOP, signal.SIGKILL):
        redis_server.process.send_signal(away)
        for name, act in acts.items():
            began = time.monotonic()
            answer = act()
            assert (name, answer.status, answer.json["code"]) == (name, 503, "store_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            assert time.monotonic() - began < 5, name
        assert service.ask("GET", f"{service.ops}/livez").status == 200
        if away is signal.SIGSTOP:
            redis_server.process.send_signal(signal.SIGCONT)
            wait_for(lambda: service.read(made["id"]).status == 200)
    redis_server.stop()
    redis_server.start()

    wait_for(lambda: service.ask("GET", f"{service.ops}/readyz").status == 200)
    assert service.create("+79991230007").status == 201
    assert service.total("waitcall_redis_errors_total") > 0


def test_a_start_before_redis_is_up_is_not_ready_then_ready(starting: Starting, redis_server: Server) -> None:
    redis_server.stop()
    service = starting(ready=False, callback_port=str(free_port()))
    assert service.ask("GET", f"{service.ops}/readyz").status == 503
    assert service.create("+79991230010").status == 503

    redis_server.start()

    wait_for(lambda: service.ask("GET", f"{service.ops}/readyz").status == 200)
    assert service.create("+79991230010").status == 201


def test_sigterm_answers_long_polls_and_ends_cleanly(starting: Starting) -> None:
    service = starting(callback_port=str(free_port()))
    made = service.create("+79991230011").json
    answers: list = []
    reader = threading.Thread(target=lambda: answers.append(service.read(made["id"], 30)))
    reader.start()
    wait_for(lambda: connections(service) > 0)
    began = time.monotonic()

    assert service.stop() == 0
    reader.join(10)

    assert [(each.status, each.json["status"]) for each in answers] == [(200, "pending")]
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"b" * 20000 + b"\r\n\r\n", b"431"),
        (b"POST /v1/verifications HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n", b"400"),
        (b"POST /v1/verifications HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: weird\r\n\r\n", b"501"),
    ],
)
def test_a_request_that_is_not_http_gets_gunicorns_answer_and_is_counted(
    service: Service, sent: bytes, status: bytes
) -> None:
    labels = ('route="unreadable"', 'status="400"')
    before = service.total("waitcall_http_requests_total", *labels)
    for base in (service.api, service.callback, service.ops):
        answer = _raw(base, sent)
        assert answer.split()[1] == status
        assert b"\r\nConnection: close\r\n" in answer
    assert service.total("waitcall_http_requests_total", *labels) == before + 3


def test_unreadable_chunks_get_a_problem_document(service: Service) -> None:
    sent = (
        b"POST /v1/verifications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-key-of-web\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nxx\r\n"
    )
    head, _, body = _raw(service.api, sent).partition(b"\r\n\r\n")
    assert b" 400 " in head.splitlines()[0]
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "invalid_request"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_huge_body_gets_its_answer(service: Service, framing: str) -> None:
    size = 3_000_000
    head = (
        b"POST /v1/verifications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-key-of-web\r\n"
        b"Content-Type: application/json\r\n"
    )
    if framing == "length":
        sent = head + b"Content-Length: %d\r\n\r\n" % size + b" " * size
    else:
        chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
        sent = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * (size // 0x4000) + b"0\r\n\r\n"

    assert b" 413 " in _raw(service.api, sent).splitlines()[0]


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_client_that_stalls_is_cut_off(service: Service, part: str) -> None:
    """The worker ends the request after HEAD_SECONDS or BODY_SECONDS. The client would wait longer."""
    head = b"POST /v1/verifications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a-key-of-web\r\n"
    rest = b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    host, port = service.api.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=15) as connection:
        connection.sendall(head if part == "head" else head + rest)
        answered = connection.recv(65536)

    assert answered == b"" if part == "head" else b" 400 " in answered.splitlines()[0]


def test_a_huge_body_reaches_a_client_that_sends_before_it_reads(service: Service) -> None:
    answer = service.ask("POST", f"{service.api}/v1/verifications", {"phone_number": "9" * 2_000_000})

    assert (answer.status, answer.json["code"]) == (413, "body_too_large")


def test_surfaces_are_told_apart_by_listener_and_not_by_host(service: Service) -> None:
    port = service.ops.rpartition(":")[2]

    assert service.ask("GET", f"{service.api}/metrics", Host=f"127.0.0.1:{port}").status == 404
    assert service.ask("GET", f"{service.callback}/v1/verifications/x").status == 404
    assert service.ask("GET", f"{service.ops}/docs").status == 404
    assert service.ask("GET", f"{service.api}/docs").status == 200


def test_no_log_line_of_any_level_holds_a_number(starting: Starting, simulator: Simulator) -> None:
    service = starting(callback_port=str(free_port()), WAITCALL_LOG_LEVEL="debug")
    made = service.create("+79991239999").json
    service.call("79991239999", int(time.time()))
    service.consume(made["id"])
    service.ask("GET", f"{service.api}/+79991239999")
    _raw(service.callback, b"GET /79991239999 HTTP/9\r\n\r\n")
    service.stop()
    text = service.log.read_text()

    assert "1239999" not in text
    assert made["id"] not in text
    assert "a-key-of-web" not in text
    assert SECRET not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert {"/v1/verifications", "/callbacks/smsc", "unmatched"} <= {line.get("route") for line in lines}


def test_wrong_settings_are_all_named_and_the_exit_status_is_2(tmp_path) -> None:
    settings = sound_settings(tmp_path, "nonsense", "https://smsc.ru/sys") | {
        "WAITCALL_CALLBACK_SECRETS": "dev-callback-secret",
        "WAITCALL_LOG_LEVEL": "loud",
    }
    ended = subprocess.run(
        production_command(), cwd=ROOT, env=settings, capture_output=True, text=True, timeout=30, check=False
    )

    assert ended.returncode == 2
    for name in ("REDIS_URL", "POLICY", "CALLBACK_SECRETS", "LOG_LEVEL"):
        assert f"WAITCALL_{name}" in ended.stderr
    assert "Traceback" not in ended.stderr


def _raw(base: str, sent: bytes) -> bytes:
    host, port = base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        # The service may refuse before everything was sent, and its answer is what counts.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)
        received = b""
        while b"\r\n\r\n" not in received or not received.rstrip().endswith(b"}"):
            part = connection.recv(65536)
            if not part:
                break
            received += part
        return received


def test_a_lapse_that_nobody_asks_about_is_counted_once(starting: Starting, redis_server: Server) -> None:
    """Results of the purpose lapse after one second, which is the shortest deadline that a policy allows."""
    policy = POLICY.replace("[purposes.login]", "[purposes.login]\nresult_seconds = 1")
    own_database = redis_server.url.removesuffix("0") + "1"
    service = starting(policy=policy, callback_port=str(free_port()), WAITCALL_REDIS_URL=own_database)
    service.create("+79991230020")
    service.call("79991230020", int(time.time()))
    lapsed = 'reason="not_consumed"'

    wait_for(lambda: service.total("waitcall_verifications_finished_total", lapsed) == 1)
    assert service.total("waitcall_verifications_finished_total") == 1


def test_the_main_job_on_a_cluster(starting: Starting) -> None:
    cluster = Cluster("valkey")
    try:
        service = starting(callback_port=str(free_port()), WAITCALL_REDIS_URL=cluster.url)
        numbers = [f"7999128{index:04d}" for index in range(20)]
        made = [answer.json for answer in together(20, lambda index: service.create(f"+{numbers[index]}"))]
        waiting = [threading.Thread(target=service.read, args=(each["id"], 30)) for each in made]
        for thread in waiting:
            thread.start()
        assert {200} == set(together(20, lambda index: service.call(numbers[index], int(time.time())).status))
        for thread in waiting:
            thread.join(10)
        assert not any(thread.is_alive() for thread in waiting)
        assert {200} == set(together(20, lambda index: service.consume(made[index]["id"]).status))
        with cluster.client() as client:
            keys = all_keys(client)
        assert [name for name, ttl in keys.items() if ttl < 0 or "9991280" in name] == []
    finally:
        cluster.close()


def test_the_documentation_and_its_files_arrive_whole(service: Service) -> None:
    assert service.ask("GET", f"{service.api}/docs").status == 200
    for name, beginning in {
        "swagger-ui.css": b".swagger-ui",
        "swagger-ui-bundle.js": b"/*!",
        "start.js": b"",
    }.items():
        answer = service.ask("GET", f"{service.api}/docs/{name}")
        assert answer.status == 200
        assert len(answer.body) == int(answer.headers["Content-Length"]) > 50
        assert answer.body.startswith(beginning)
    assert service.ask("GET", f"{service.api}/docs/../policy.toml").status == 404
