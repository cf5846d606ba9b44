"""Test that calls that take too long end in time, in a process with threads and in one with greenlets."""

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from tests.redis_servers import wait_for
from waitcall.adapters.providers.guarded_calls import within_thread
from waitcall.application.request_context import request_id

ROOT = Path(__file__).resolve().parents[2]


def in_greenlets(program: str) -> None:
    """Run a program in another process under gevent, because the patches would stay in this one."""
    whole = "from gevent import monkey\nmonkey.patch_all()\n" + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-c", whole], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_call_in_a_thread_carries_the_context_of_its_caller() -> None:
    ended: list[str] = []
    token = request_id.set("the-request")
    seen = within_thread(
        5, lambda: (request_id.get(), threading.current_thread().name), lambda: ended.append("ended")
    )
    request_id.reset(token)
    assert seen[0] == "the-request"
    assert seen[1].startswith("limited")
    assert ended == ["ended"]


def test_an_abandoned_call_is_reported_as_ended_only_when_it_ends() -> None:
    going, ended = threading.Event(), threading.Event()
    with pytest.raises(TimeoutError):
        within_thread(0.05, lambda: going.wait(20), ended.set)
    assert not ended.is_set()
    going.set()
    assert ended.wait(20)


def test_calls_that_ended_leave_no_thread() -> None:
    before = threading.active_count()
    for _ in range(20):
        within_thread(5, lambda: None, lambda: None)
    wait_for(lambda: threading.active_count() <= before)


def test_an_error_of_the_call_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        within_thread(5, lambda: 1 // 0, lambda: None)


def test_a_greenlet_is_interrupted_where_it_waits() -> None:
    in_greenlets(
        """
        import time, gevent
        from waitcall.adapters.providers.guarded_calls import within_greenlet

        said = []

        def call():
            try:
                time.sleep(30)
            finally:
                said.append("interrupted")

        began = time.monotonic()
        try:
            within_greenlet(0.1, call, lambda: said.append("ended"))
        except TimeoutError:
            said.append("over")
        assert said == ["interrupted", "ended", "over"], said
        assert time.monotonic() - began < 15

        assert within_greenlet(5, lambda: 7, lambda: None) == 7
        try:
            within_greenlet(5, lambda: 1 // 0, lambda: said.append("ended"))
        except ZeroDivisionError:
            said.append("error")
        assert said[3:] == ["ended", "error"], said

        # A timeout of the caller is not taken for the limit's own, and no timeout is left behind.
        with gevent.Timeout(0.1, False):
            within_greenlet(20, call, lambda: None)
            raise AssertionError
        gevent.sleep(0.2)
        """
    )


def test_an_order_that_drips_or_hangs_is_over_in_time_and_the_next_one_is_sound() -> None:
    """The order runs under gevent against a real socket. The bound leaves room for a slow machine."""
    in_greenlets(
        """
        import time
        from waitcall.adapters.providers.guarded_calls import within_greenlet
        from waitcall.adapters.providers.transport import Account
        from waitcall.adapters.providers.smsc.client import SmscProvider
        from waitcall.domain.errors import ProviderUnavailable
        from waitcall.domain.numbers import E164
        from simulator.dialler import Handler
        from simulator.server import Options, Simulator

        class Counted:
            seen = []
            def provider_request(self, operation, outcome, seconds):
                self.seen.append(str(outcome))

        with Simulator(Options(Handler("http://127.0.0.1:9/x", "callback-secret-1"), calm=True)) as simulator:
            account = Account((simulator.base_url,), {"apikey": "sim-apikey"}, 0.5, 1)
            provider = SmscProvider(account, lambda number, subscriber: True, Counted(), within_greenlet)
            for fault in ("drip", "hang", "drip"):
                simulator.faults.load([{"kind": fault, "value": None}], None)
                began = time.monotonic()
                try:
                    provider.order(E164("+79991234567"))
                    raise AssertionError(fault)
                except ProviderUnavailable:
                    pass
                assert time.monotonic() - began < 5, fault
                # Only one order may be in flight, so this one shows that the last one is over.
                assert provider.order(E164("+79991234568")).call_number.value.startswith("+7")
                simulator.release()
            assert Counted.seen == ["timeout", "ok"] * 3, Counted.seen
            provider.close()
        """
    )
