"""Simulate people who call, and the client servers that verify them. The servers retry and keep every answer."""

import heapq
import http.client
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

PURPOSE = "login"
AGAIN_SECONDS = 0.4
LOOK_SECONDS = 1.2
TIMEOUT_SECONDS = 8
VAIN_SECONDS = 12
OVER = None
"""Returned by a step after which there is no further step."""


@dataclass(frozen=True)
class Answer:
    """Answer to one request. Status 0 means that no answer came."""

    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))

    @property
    def settles(self) -> bool:
        """Tell whether this answer is final. If it is not, the client asks the other replica."""
        waiting = ("verification_in_progress", "idempotency_in_flight")
        return 200 <= self.status < 500 and self.status != 429 and self.code not in waiting


class Replicas:
    """Send each request to the next replica in turn, because no load balancer stands in front."""

    def __init__(self, urls: Sequence[str], key: str) -> None:
        self._turn = itertools.count()
        self._hosts = [str(urlsplit(url).netloc) for url in urls]
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.answers: Counter[str] = Counter()

    def ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> Answer:
        host = self._hosts[next(self._turn) % len(self._hosts)]
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            answer = Answer(response.status, json.loads(response.read()))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.answers[type(error).__name__] += 1
            return Answer(0, {})
        finally:
            connection.close()
        self.answers[f"{answer.status} {answer.code}".strip()] += 1
        return answer


@dataclass(frozen=True)
class Person:
    """A person with a phone number, and what the network does with the callbacks of the call."""

    number: str
    calls: bool
    reports: tuple[float, ...]
    """Seconds from the call to each delivery of its callback. Empty if the callback is lost."""
    redeemers: int
    """Number of requests that try to consume the proof at once."""
    redeems_again: bool
    own: bool = False
    """True if the person calls one of our own numbers, whose SIP proxy repeats each report until it is taken."""


def crowd(count: int, first: int, dice: random.Random) -> list[Person]:
    """Make people of whom one in ten never calls. One in three is shown one of our own numbers, by the policy's routing.

    Of ten callbacks of the provider three are lost, two are delivered twice and three are late, so they arrive out of order.
    """
    people = []
    for index in range(first, first + count):
        fate = dice.random()
        late = dice.uniform(0.5, 4)
        reports: tuple[float, ...] = (0.01,)
        if fate < 0.3:
            reports = ()
        elif fate < 0.5:
            reports = (0.01, late)
        elif fate < 0.8:
            reports = (late,)
        people.append(
            Person(
                f"7701{index:07d}" if index % 3 == 2 else f"7999{index:07d}",
                calls=dice.random() >= 0.1,
                reports=reports,
                redeemers=2 if dice.random() < 0.05 else 1,
                redeems_again=dice.random() < 0.1,
                own=index % 3 == 2,
            )
        )
    return people


@dataclass
class Redemption:
    """Attempt to consume a proof, repeated with its own idempotency key until it gets a final answer."""

    journey: "Journey"
    key: str
    given: Answer | None = None

    def step(self) -> float | None:
        body = {"purpose": PURPOSE, "reference": self.journey.reference}
        path = f"/v1/verifications/{self.journey.id}/consume"
        answer = self.journey.replicas.ask("POST", path, body, self.key)
        if not answer.settles:
            return AGAIN_SECONDS
        self.given = answer
        return self.journey.redeemed(self)


@dataclass
class Journey:
    """Life of a verification, from its first request to the last answer about it."""

    person: Person
    replicas: Replicas
    phone: "Phone"
    begin: Callable[[Redemption], None]
    id: str = ""
    call_number: str = ""
    called_at: float = 0.0
    verified_at: float = 0.0
    refused: Answer | None = None
    statuses: list[str] = field(default_factory=list)
    """Statuses that the reads returned, oldest first."""
    redemptions: list[Redemption] = field(default_factory=list)
    over: bool = False

    @property
    def waits_in_vain(self) -> bool:
        """Tell whether the call is ``VAIN_SECONDS`` old and the verification is still pending."""
        return bool(
            self.called_at and not self.redemptions and time.monotonic() - self.called_at > VAIN_SECONDS
        )

    @property
    def reference(self) -> str:
        return f"flow-{self.person.number}"

    def step(self) -> float | None:
        if not self.id:
            return self._start()
        if self.person.calls and not self.called_at:
            return self._call()
        return self._look()

    def redeemed(self, redemption: Redemption) -> float | None:
        """Note that one attempt has its answer. Once all have, make the second attempt or end the journey."""
        done = [each for each in self.redemptions if each.given is not None]
        if len(done) == len(self.redemptions):
            again = self.person.redeems_again and not redemption.key.startswith("again")
            if again:
                self.redeem("again")
            self.over = not again
        return OVER

    def _start(self) -> float | None:
        body = {"phone_number": f"+{self.person.number}", "purpose": PURPOSE, "reference": self.reference}
        answer = self.replicas.ask("POST", "/v1/verifications", body, f"start-{self.person.number}")
        if not answer.settles:
            return AGAIN_SECONDS
        if answer.status not in (200, 201):
            self.refused, self.over = answer, True
            return OVER
        self.id, self.call_number = answer.body["id"], answer.body["call"]["number"]
        return 0.1

    def _call(self) -> float | None:
        self.phone.dial(self.person, self.call_number)
        self.called_at = time.monotonic()
        return 0.05

    def _look(self) -> float | None:
        wait = 3 if len(self.statuses) == 0 else 0
        answer = self.replicas.ask("GET", f"/v1/verifications/{self.id}?wait={wait}")
        if not answer.settles:
            return AGAIN_SECONDS
        status = str(answer.body.get("status", answer.code))
        self.statuses.append(status)
        if status == "pending":
            # A person who never called is looked at again at the end of the run.
            return LOOK_SECONDS if self.person.calls else OVER
        if status == "verified":
            self.verified_at = time.monotonic()
            for number in range(self.person.redeemers):
                self.redeem(f"redeem-{number}")
        return OVER

    def redeem(self, name: str) -> None:
        redemption = Redemption(self, f"{name}-{self.person.number}")
        self.redemptions.append(redemption)
        self.begin(redemption)


@dataclass
class Unproven:
    """Read the verification of a person who never called, then try to consume it. Used at the end of a run."""

    journey: Journey

    def step(self) -> float | None:
        answer = self.journey.replicas.ask("GET", f"/v1/verifications/{self.journey.id}")
        if not answer.settles:
            return AGAIN_SECONDS
        self.journey.statuses.append(str(answer.body.get("status", answer.code)))
        self.journey.redeem("unproven")
        return OVER


class Phone:
    """Telephone network, driven through the simulator's control API."""

    def __init__(self, control_url: str) -> None:
        self._host = str(urlsplit(control_url).netloc)

    def dial(self, person: Person, call_number: str) -> None:
        """Make the call: it enters the provider's inbox, and its callbacks come as ``person.reports`` says."""
        at = int(time.time())
        if person.own:
            copies = max(len(person.reports), 1)
            heard = self._send("/dial", {"cli": person.number, "did": call_number, "copies": copies})["heard"]
            if heard != "busy":
                raise AssertionError(f"the call was answered, which costs the caller money: {person}")
            return
        order = {"cli": person.number, "did": call_number, "lose": True}
        if not self._send("/dial", order)["reported"]:
            raise AssertionError(f"the provider has no order for a number that was shown: {person}")
        for delay in person.reports:
            self.report(person.number, at, delay)

    def report(self, number: str, at: int, delay: float = 0.01, **handler: str) -> None:
        """Send the callback of a call, signed with the provider's secret unless ``secret`` is given."""
        fields = {"waitcall": "1", "phone": number, "ts": str(at)}
        self._send("/message", {"kind": "call", "fields": fields, "delay_seconds": delay} | handler)

    def message(self, number: str, text: str) -> None:
        """Send a signed callback about an SMS, which must not count as a call."""
        fields = {"phone": number, "mes": text, "to": "79585551234"}
        self._send("/message", {"kind": "sms", "fields": fields, "delay_seconds": 0.01})

    def text(self, number: str, text: str) -> None:
        """Send a text to a dedicated number. It enters the provider's inbox, but its callback is lost."""
        self._send("/text", {"cli": number, "to": "79585550000", "text": text, "lose": True})

    def _send(self, path: str, order: dict[str, Any]) -> Any:
        connection = http.client.HTTPConnection(self._host, timeout=60)
        try:
            connection.request("POST", path, json.dumps(order), {"Content-Type": "application/json"})
            response = connection.getresponse()
            body = json.loads(response.read())
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise AssertionError(f"{path}: {body}")
        return body


class Square:
    """Thread pool that runs each walker's next step when it is due.

    A walker has a method ``step``, which returns the seconds until its next step, or ``OVER``.
    """

    def __init__(self, threads: int) -> None:
        self._due: list[tuple[float, int, Any]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._stepping = 0
        self._closed = False
        self._failure: BaseException | None = None
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def enter(self, walker: Any, after: float = 0.0) -> None:
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + after, next(self._order), walker))
            self._changed.notify()

    def wait(self, seconds: float) -> bool:
        """Wait at most ``seconds`` until no walker has a next step, and tell whether none has."""
        with self._changed:
            self._changed.wait_for(lambda: self._failure or not (self._due or self._stepping), seconds)
            if self._failure is not None:
                raise self._failure
            return not (self._due or self._stepping)

    def _next(self) -> Any:
        with self._changed:
            while not self._closed:
                if self._due and self._due[0][0] <= time.monotonic():
                    self._stepping += 1
                    return heapq.heappop(self._due)[2]
                self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
            return None

    def _work(self) -> None:
        while (walker := self._next()) is not None:
            after = OVER
            try:
                after = walker.step()
            except BaseException as failure:  # noqa: BLE001  wait() raises it
                self._failure = failure
            with self._changed:
                self._stepping -= 1
                if after is not OVER and not self._closed:
                    heapq.heappush(self._due, (time.monotonic() + after, next(self._order), walker))
                self._changed.notify_all()
