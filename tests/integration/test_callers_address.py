"""Test which client address the service believes behind trusted proxies, whatever the headers say."""

import json
import logging
from collections.abc import Callable
from itertools import cycle, product

import pytest

from tests.integration.conftest import KEY, Running
from tests.integration.test_hosted_page import HOSTED
from tests.wsgi import ask
from waitcall.adapters.http.app import address_in
from waitcall.adapters.telemetry.logging import MaskingJsonFormatter
from waitcall.application.hosted_page import ReadPage
from waitcall.domain.errors import NotFound

PROXY = "192.0.2.1"
TOLD = {
    "203.0.113.9": "203.0.113.9",
    "203.0.113.9:1234": "203.0.113.9",
    " 203.0.113.9 ": "203.0.113.9",
    "203.0.113.9:": "203.0.113.9",
    "[2001:db8::1]": "2001:db8::1",
    "[2001:db8::1]:443": "2001:db8::1",
    "2001:db8::1": "2001:db8::1",
    "2001:DB8:0:0::1": "2001:db8::1",
    "::ffff:203.0.113.9": "203.0.113.9",
    "[::ffff:203.0.113.9]:80": "203.0.113.9",
}
UNTOLD = [
    "", " ", "unknown", "_hidden", "fe80::1%eth0", "[fe80::1%25eth0]:443", "2001:db8::1]:443", "[]", "[]:1",
    "203.0.113.9:1:2", "203.0.113.256", "203.0.113.009", "example.org", "example.org:80", '"203.0.113.9"', "203.0.113.9/24",
    "\xe9\xff", "٢٠٣.0.113.9".encode().decode("latin-1"), "1" * 8000, ":" * 8000, "[" * 8000, "::1::", "0x7f.1", "\x7f",
]  # fmt: skip
ROUTES = {
    "page": ("GET", b"/p/" + b"0" * 56),
    "status": ("GET", b"/p/" + b"0" * 56 + b"/status?wait=0"),
    "callback": ("POST", b"/callbacks/smsc"),
    "orders": ("POST", b"/callbacks/smsru"),
    "nothing": ("GET", b"/nothing"),
    "api": ("GET", b"/v1/verifications/ver_1"),
}
POLICY = HOSTED + '\n[routing]\ndefault = ["smsc", "smsru"]\n'


@pytest.fixture
def behind(starting: Callable[..., Running]) -> Callable[[int], Running]:
    def start(hops: int) -> Running:
        return starting(
            POLICY,
            WAITCALL_PUBLIC_URL="https://verify.example.org",
            WAITCALL_SMSRU_API_ID="sim-smsru-api-id-0001",
            WAITCALL_TRUSTED_HOPS=str(hops),
        )

    return start


@pytest.mark.parametrize("text", TOLD)
def test_port_and_brackets_are_dropped(text: str) -> None:
    assert address_in(text.strip()) == TOLD[text]


@pytest.mark.parametrize("text", UNTOLD)
def test_a_text_that_is_no_address_gives_none(text: str) -> None:
    assert address_in(text) is None


@pytest.fixture
def remotes(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], list[str | None]]:
    caplog.set_level(logging.INFO, "waitcall.access")
    monkeypatch.setattr(caplog.handler, "formatter", MaskingJsonFormatter())

    def of() -> list[str | None]:
        lines = [json.loads(line) for line in caplog.text.splitlines() if '"waitcall.access"' in line]
        return [line["remote"] for line in lines]

    return of


@pytest.mark.parametrize(
    ("hops", "header", "remote"),
    [
        (0, "203.0.113.9", PROXY),
        (1, "203.0.113.9:1234", "203.0.113.9"),
        (1, "198.51.100.7, 203.0.113.9:1234", "203.0.113.9"),
        (1, '", 203.0.113.9', "203.0.113.9"),
        (1, "203.0.113.9,", PROXY),
        (1, "garbage", PROXY),
        (1, "a, " * 2000 + "[2001:db8::1]:443", "2001:db8::1"),
        (2, "203.0.113.9", PROXY),
        (2, "198.51.100.7, [2001:db8::1]:443, 10.0.0.1", "2001:db8::1"),
        (2, "198.51.100.7, fe80::1%eth0, 10.0.0.1", PROXY),
        (2, ",,", PROXY),
    ],
)
def test_the_log_has_the_address_that_the_trusted_proxies_saw(
    behind: Callable[[int], Running],
    remotes: Callable[[], list[str | None]],
    hops: int,
    header: str,
    remote: str,
) -> None:
    ask(behind(hops).callback, "POST", b"/callbacks/smsc", {"X-Forwarded-For": header})
    assert remotes() == [remote]


@pytest.mark.parametrize(
    ("peer", "seen"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.1", "192.0.2.1"),
        ("", ""),
    ],
)
def test_a_peer_of_an_ipv6_listener_is_its_plain_address(
    behind: Callable[[int], Running],
    remotes: Callable[[], list[str | None]],
    peer: str,
    seen: str,
) -> None:
    app = behind(0).callback
    ask(app, "POST", b"/callbacks/smsc", peer=peer)
    assert remotes() == [seen]
    assert ask(app, "GET", ROUTES["status"][1], peer=peer).status == 404


def test_polls_count_for_the_forwarded_address_whatever_its_port(
    behind: Callable[[int], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses: list[str | None] = []

    def look(_: ReadPage, __: str, address: str | None, *___: object, **____: object) -> None:
        addresses.append(address)
        raise NotFound

    monkeypatch.setattr(ReadPage, "look", look)
    app = behind(1).callback
    for port in (1024, 1025):
        target = f"/p/{'0' * 56}/status?wait=25".encode()
        ask(app, "GET", target, {"X-Forwarded-For": f"198.51.100.7, 203.0.113.9:{port}"})
    assert addresses == ["203.0.113.9"] * 2


def test_no_header_of_a_proxy_gives_a_5xx(behind: Callable[[int], Running]) -> None:
    headers = (
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
    )
    odd = [*TOLD, *UNTOLD, "a:b:c", "a:99999", "[", "ftp", "https", "ours.example:443", ", ,", "a,b,c"]
    # All routes share one middleware, so each value is tried on a few routes and each header on all.
    routes = cycle(ROUTES.items())
    for hops in (0, 1, 2):
        running = behind(hops)
        for name, value in product(headers, odd):
            route, (method, target) = next(routes)
            app = running.api if route == "api" else running.callback
            for sent in ({name: value}, {name: f"{value}, {value}"}):
                answer = ask(app, method, target, {"Authorization": f"Bearer {KEY}", "Host": "x", **sent})
                assert answer.status < 500, (hops, sent, route)


def test_the_host_and_the_scheme_are_those_that_the_trusted_proxies_saw(
    starting: Callable[..., Running],
) -> None:
    app = starting(WAITCALL_TRUSTED_HOPS="1", WAITCALL_TRUSTED_HOSTS="ours.example").callback
    for header, status in {
        "ours.example": 200,
        "evil.example, ours.example:443": 200,
        '", ours.example': 200,
        "ours.example, evil.example": 400,
        "o" * 8000: 400,
    }.items():
        told = {"Host": "proxy", "X-Forwarded-Host": header, "X-Forwarded-Proto": "http, https"}
        assert ask(app, "GET", b"/callbacks/smsc", told).status == status, header
