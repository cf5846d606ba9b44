"""Test that secrets, keys, pepper and policy are rotated by SIGHUP under load without a failed request."""

import hashlib
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
import urllib3

from tests.end_to_end.conftest import POLICY, Service, Starting
from tests.redis_servers import wait_for

pytestmark = pytest.mark.slow

KEYS = {"old": "an-old-key-of-web-that-is-long-enough", "new": "a-new-key-of-web-that-is-long-enough"}
SECRETS = {"old": "callback-secret-old", "new": "callback-secret-new"}
PEPPERS = {"old": "o" * 32, "new": "n" * 32}
NAMES = ("API_KEYS", "CALLBACK_SECRETS", "KEY_PEPPER", "KEY_PEPPER_OTHER")
NEVER = 60
NUMBERS = count(79990000000)
"""Phone numbers. Each is used once, because two calls of one number within a second count as one call."""


def pairs(*which: str) -> str:
    return ",".join(f"web={hashlib.sha256(KEYS[each].encode()).hexdigest()}" for each in which)


@dataclass
class Load:
    """Clients that run whole verifications over persistent connections."""

    service: Service
    key: str = KEYS["old"]
    secret: str = SECRETS["old"]
    journeys: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def live(self) -> None:
        http = urllib3.PoolManager(retries=False, maxsize=1)
        while not self.stopped.is_set():
            with self.lock:
                phone = next(NUMBERS)
            try:
                failed = self._journey(http, phone)
            except Exception as error:  # noqa: BLE001  a cut connection counts as a failure
                failed = repr(error)
            with self.lock:
                self.journeys["failed" if failed else "done"] += 1
                if failed:
                    self.failures.append(failed)

    def _journey(self, http: urllib3.PoolManager, phone: int) -> str | None:
        created = self._ask(
            http, "POST", "", {"phone_number": f"+{phone}", "purpose": "login", "reference": "r"}
        )
        if created.status != 201:
            return f"create {created.status} {created.data!r}"
        path = f"/{created.json()['id']}"
        ts = int(time.time())
        digest = hashlib.sha1(f"{phone}:{ts}:{self.secret}".encode()).hexdigest()
        fields = {"waitcall": "1", "phone": str(phone), "ts": str(ts), "sha1": digest}
        called = http.request(
            "POST", f"{self.service.callback}/callbacks/smsc", fields=fields, encode_multipart=False
        )
        if called.status != 200:
            return f"callback {called.status} {called.data!r}"
        read = self._ask(http, "GET", f"{path}?wait=5")
        if read.status != 200 or read.json()["status"] != "verified":
            return f"read {read.status} {read.data!r}"
        consumed = self._ask(http, "POST", f"{path}/consume", {"purpose": "login", "reference": "r"})
        return None if consumed.status == 200 else f"consume {consumed.status} {consumed.data!r}"

    def _ask(self, http: urllib3.PoolManager, method: str, path: str, body: object = None):
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        url = f"{self.service.api}/v1/verifications{path}"
        return http.request(method, url, body=json.dumps(body) if body else None, headers=headers)

    def pass_through(self, journeys: int = 12) -> None:
        """Wait until so many more journeys are done: enough for each client to run one within this stage."""
        goal = self.journeys.total() + journeys
        wait_for(lambda: self.journeys.total() >= goal or bool(self.failures), NEVER)


@contextmanager
def under_load(service: Service) -> Iterator[Load]:
    load = Load(service)
    threads = [threading.Thread(target=load.live) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stopped.set()
        for thread in threads:
            thread.join()


def reload(service: Service) -> None:
    """Send SIGHUP and wait until all old workers have left."""
    old = set(service.workers())
    service.process.send_signal(signal.SIGHUP)
    wait_for(lambda: not old & set(service.workers()) and len(service.workers()) == 2, NEVER)


@pytest.fixture
def rotating(starting: Starting, tmp_path: Path):
    def write(**values: str) -> None:
        for name, value in values.items():
            (tmp_path / name).write_text(value + "\n")

    write(
        API_KEYS=pairs("old"),
        CALLBACK_SECRETS=SECRETS["old"],
        KEY_PEPPER=PEPPERS["old"],
        KEY_PEPPER_OTHER="",
    )
    files = {f"WAITCALL_{name}_FILE": str(tmp_path / name) for name in NAMES}
    service = starting(**files, **{f"WAITCALL_{name}": "" for name in NAMES})
    return service, write


def test_keys_secrets_and_pepper_rotate_without_a_failed_request(rotating) -> None:
    service, write = rotating
    with under_load(service) as load:
        load.pass_through()
        # First the service accepts the new values beside the old ones.
        write(
            API_KEYS=pairs("old", "new"),
            CALLBACK_SECRETS=f"{SECRETS['new']},{SECRETS['old']}",
            KEY_PEPPER_OTHER=PEPPERS["new"],
        )
        reload(service)
        load.pass_through()
        # Then the client and the provider switch, and the new pepper becomes the current one.
        load.key = KEYS["new"]
        load.secret = SECRETS["new"]
        write(KEY_PEPPER=PEPPERS["new"], KEY_PEPPER_OTHER=PEPPERS["old"])
        reload(service)
        load.pass_through(24)
        # Last the old values are removed.
        write(API_KEYS=pairs("new"), CALLBACK_SECRETS=SECRETS["new"], KEY_PEPPER_OTHER="")
        reload(service)
        load.pass_through()

    assert load.failures == []
    assert load.journeys["done"] >= 60
    # The counts of workers that have left are kept.
    consumed = service.total("waitcall_verifications_finished_total", 'status="consumed"')
    assert consumed == load.journeys["done"]
    stale = {"Authorization": f"Bearer {KEYS['old']}"}
    assert service.ask("GET", f"{service.api}/v1/verifications/x", **stale).status == 401
    ts = int(time.time())
    digest = hashlib.sha1(f"79990000000:{ts}:{SECRETS['old']}".encode()).hexdigest()
    forged = f"{service.callback}/callbacks/smsc?waitcall=1&phone=79990000000&ts={ts}&sha1={digest}"
    assert service.ask("GET", forged).status == 403


def test_broken_settings_are_refused_by_name_and_change_nothing(rotating) -> None:
    service, write = rotating
    workers = set(service.workers())
    with under_load(service) as load:
        write(CALLBACK_SECRETS="short", API_KEYS="web=nonsense")
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(set(service.workers()) - workers) == 2, NEVER)
        load.pass_through()

    assert load.failures == []
    wait_for(lambda: not workers & set(service.workers()), NEVER)
    workers = set(service.workers())
    # A worker that replaces a dead one uses the settings of its siblings, not the broken files.
    os.kill(min(workers), signal.SIGKILL)
    wait_for(lambda: len(service.workers()) == 2 and min(workers) not in service.workers(), NEVER)
    with under_load(service) as load:
        load.pass_through(20)
    assert load.failures == []
    told = service.log.read_text()
    for name in ("WAITCALL_CALLBACK_SECRETS", "WAITCALL_API_KEYS"):
        assert f"the last good settings stay: {name}" in told
    write(CALLBACK_SECRETS=SECRETS["old"], API_KEYS=pairs("old"))
    reload(service)
    with under_load(service) as load:
        load.pass_through()
    assert load.failures == []


def test_a_reload_reads_the_policy_again(starting: Starting, tmp_path: Path) -> None:
    service = starting()
    assert service.create("+79991234567", purpose="signup").status == 422

    policy = POLICY.replace("[purposes.login]", "[purposes.login]\n[purposes.signup]")
    (tmp_path / "policy.toml").write_text(policy.replace('["login"]', '["login", "signup"]'))
    reload(service)

    assert service.create("+79991234567", purpose="signup").status == 201


def test_a_reload_answers_long_polls_instead_of_cutting_them_off(starting: Starting) -> None:
    service = starting()
    made = [service.create(f"+{next(NUMBERS)}").json["id"] for _ in range(6)]
    answers: list[tuple[int, str]] = []

    def wait(verification_id: str) -> None:
        read = service.read(verification_id, 10)
        answers.append((read.status, read.json["status"]))

    waiting = [threading.Thread(target=wait, args=(each,)) for each in made]
    for thread in waiting:
        thread.start()
    # A poll that no old worker has accepted when the reload begins is accepted by a new one.
    wait_for(lambda: connections_to(service) >= 6, NEVER)
    reload(service)
    for thread in waiting:
        thread.join(20)

    assert answers == [(200, "pending")] * 6
    assert [service.read(each).json["status"] for each in made] == ["pending"] * 6


def connections_to(service: Service) -> int:
    """Count the established connections at the API's listener."""
    port = f":{int(service.api.rpartition(':')[2]):04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return len([line for line in lines if line.split()[1].endswith(port) and line.split()[3] == "01"])
