"""An attacker's script: everything that the peers' bugs teach, tried against the running service.

Each attack says what it tried, what came back, and whether it won. ``test_attacks.py`` runs all of them;
``make attack`` writes the record, docs/attacks.md.
"""

import hashlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlencode, urlsplit

from simulator.server import Simulator
from tests.end_to_end.conftest import SECRET, Answered, Service
from tests.end_to_end.neutral_caller import ANSWER_AFTER_SECONDS, NeutralCaller, Serving

APP_KEY = "a-key-of-app"
BLOCKED = "+79000000001"
POLICY = f"""
dial_regions = ["RU"]
[purposes.login]
[purposes.contested]
on_concurrent = "contest"
[purposes.password_reset]
require_reference = true
min_assurance = "network"
[clients.web]
purposes = ["login", "contested", "password_reset"]
[clients.app]
purposes = ["login"]
[limits]
number = ["3/10m"]
[[lists]]
action = "block"
number = "{BLOCKED}"
reason = "an attacker asks for it"
[assurance.RU]
level = "network"
source = "for the test"
"""


@dataclass
class Attempt:
    """One attack and its end."""

    threat: str
    name: str
    told: list[str] = field(default_factory=list)
    won: bool = False

    def saw(self, what: str, answer: Answered | None = None) -> None:
        """Write down a step; an answer by its status and code."""
        if answer is None:
            self.told.append(what)
            return
        try:
            code = answer.json.get("code") or answer.json.get("status", "")
        except (ValueError, AttributeError):
            code = answer.body.decode(errors="replace")[:40]
        self.told.append(f"{what}: {answer.status} {code}".rstrip())


class Attacker:
    """Knows the API, the provider's dialect and the victim's number; not the secrets."""

    def __init__(self, service: Service, simulator: Simulator) -> None:
        self.service = service
        self.simulator = simulator
        self._numbers: Iterator[int] = count(79991000000)

    def all(self) -> Iterator[Attempt]:
        """Every attack, in order."""
        attacks: list[tuple[str, str, Callable[[Attempt], None]]] = [
            (
                "T1",
                "forge a caller ID from a country where nobody checks it, to reset a password",
                self.spoof,
            ),
            ("T2", "ride the victim's call with a session of one's own", self.ride),
            ("T2", "squat on the number first, and let the victim's redial approve it", self.squat),
            ("T3", "replay a captured callback against a later verification", self.replay),
            ("T3", "replay a call that met nothing, once there is something to meet", self.replay_unmatched),
            ("T3", "pass off a signed SMS, or a signed status, as a call", self.confuse),
            ("T3", "call back with forged, missing and foreign hashes", self.forge),
            ("T3", "hide entities and doubled fields in the callback", self.smuggle),
            ("T4", "redeem a stolen id: with another client's key, with a guess, and twice", self.steal),
            ("T5", "redeem a login's proof for a password reset", self.cross_purpose),
            ("T7", "have a premium number shown", self.premium),
            ("T7", "burn the provider's ceiling on one number", self.burn),
            (
                "T8",
                "tell blocked, limited, live and fresh numbers apart by code, size and time",
                self.enumerate,
            ),
        ]
        for threat, name, attack in attacks:
            attempt = Attempt(threat, name)
            attack(attempt)
            yield attempt

    def spoof(self, it: Attempt) -> None:
        answer = self._create("+77011234567", purpose="password_reset")
        it.saw("create password_reset for a number of KZ", answer)
        it.won = answer.status == 201

    def ride(self, it: Attempt) -> None:
        number = self._number()
        victim = self._create(number, reference="victim")
        it.saw("the victim's create", victim)
        mine = self._create(number, reference="attacker")
        it.saw("the attacker's create", mine)
        none = self._create(number, reference=None)
        it.saw("the attacker's create without a reference", none)
        self._dial(number, victim.json["call"]["number"])
        it.saw("the victim calls")
        again = self._create(number, reference="attacker")
        it.saw("the attacker's create right after the call, because people dial twice", again)
        it.won = "call" in mine.json or "call" in none.json or again.status in (200, 201)
        self._consume(victim.json["id"], reference="victim")

    def squat(self, it: Attempt) -> None:
        number = self._number()
        mine = self._create(number, purpose="contested", reference="attacker")
        it.saw("the attacker's create comes first", mine)
        it.saw("the victim's create", self._create(number, reference="victim"))
        self._dial(number, mine.json["call"]["number"])
        it.saw("the victim redials from the call log")
        read = self.service.read(mine.json["id"])
        it.saw("the attacker reads", read)
        redeemed = self._consume(mine.json["id"], purpose="contested", reference="attacker")
        it.saw("the attacker redeems", redeemed)
        it.won = read.json["status"] == "verified" or redeemed.status == 200

    def replay(self, it: Attempt) -> None:
        number = self._number()
        first = self._create(number)
        ts = int(time.time())
        it.saw("the captured callback", self.service.call(number[1:], ts))
        self._consume(first.json["id"])
        # The same requester: the cooldown would keep others from a second dialling.
        answer = self._create(number)
        it.saw("a later verification of the number", answer)
        it.saw("the callback again", self.service.call(number[1:], ts))
        read = self.service.read(answer.json["id"])
        it.saw("the later one reads", read)
        it.won = read.json["status"] == "verified"

    def replay_unmatched(self, it: Attempt) -> None:
        number = self._number()
        ts = int(time.time())
        it.saw("a call that nobody waits for", self.service.call(number[1:], ts))
        made = self._create(number)
        it.saw("create, a moment later", made)
        it.saw("the callback again", self.service.call(number[1:], ts))
        read = self.service.read(made.json["id"])
        it.saw("it reads", read)
        it.won = read.json["status"] == "verified"

    def confuse(self, it: Attempt) -> None:
        number = self._number()
        made = self._create(number)
        phone, ts = number[1:], int(time.time())
        sms = self._sha1(f"{phone}:{ts}:79585550100:{SECRET}")
        it.saw(
            "a genuine SMS with a time for a text",
            self._post(phone=phone, mes=ts, to="79585550100", sha1=sms),
        )
        tried = [
            self._post(waitcall=1, phone=phone, ts=f"{ts}:79585550100", sha1=sms),
            self._post(waitcall=1, phone=phone, ts=ts, mes=ts, to="79585550100", sha1=sms),
            self._post(waitcall=1, phone=phone, ts=ts, sha1=sms),
        ]
        status = self._sha1(f"{phone}:{ts}:1:{SECRET}")
        tried.append(self._post(waitcall=1, phone=phone, ts=f"{ts}:1", sha1=status))
        for answer in tried:
            it.saw("its digest on a call", answer)
        read = self.service.read(made.json["id"])
        it.saw("it reads", read)
        # The second one is a genuine SMS still, with a word too many: acknowledged as such, and no call.
        it.won = read.json["status"] == "verified"

    def forge(self, it: Attempt) -> None:
        number = self._number()
        made = self._create(number)
        phone, ts = number[1:], int(time.time())
        text = f"{phone}:{ts}:"
        hashes: dict[str, dict[str, Any]] = {
            "without a hash": {},
            "with an empty hash": {"sha1": ""},
            "with an empty secret": {"sha1": self._sha1(text)},
            "with the password that everybody's example uses": {"sha1": self._sha1(text + "secret")},
            "with the right secret under another algorithm": {
                "md5": hashlib.md5(f"{text}{SECRET}".encode()).hexdigest()
            },
            "with half of the right one": {"sha1": self._sha1(text + SECRET)[:20]},
            "with another number's": {"sha1": self._sha1(f"79990000000:{ts}:{SECRET}")},
        }
        statuses = []
        for how, given in hashes.items():
            answer = self._post(waitcall=1, phone=phone, ts=ts, **given)
            statuses.append(answer.status)
            it.saw(how, answer)
        it.won = 200 in statuses or self.service.read(made.json["id"]).json["status"] == "verified"

    def smuggle(self, it: Attempt) -> None:
        number = self._number()
        made = self._create(number)
        phone, ts = number[1:], int(time.time())
        right = self._sha1(f"79990000000:{ts}:{SECRET}")
        doubled = f"waitcall=1&phone=79990000000&phone={phone}&ts={ts}&sha1={right}"
        bomb = '<!DOCTYPE x [<!ENTITY a "aa">]><x><waitcall>1</waitcall><phone>&a;</phone></x>'
        tried = [
            self._raw(doubled.encode(), "application/x-www-form-urlencoded"),
            self._raw(bomb.encode(), "text/xml"),
            self._raw(b'{"waitcall": 1, "phone": {"$ne": null}}', "application/json"),
        ]
        for what, answer in zip(
            ("one field, two values", "XML entities", "JSON objects"), tried, strict=True
        ):
            it.saw(what, answer)
        it.won = any(answer.status == 200 for answer in tried)
        it.won |= self.service.read(made.json["id"]).json["status"] == "verified"

    def steal(self, it: Attempt) -> None:
        number = self._number()
        made = self._create(number)
        stolen = made.json["id"]
        self._dial(number, made.json["call"]["number"])
        path = f"{self.service.api}/v1/verifications"
        app = {"Authorization": f"Bearer {APP_KEY}"}
        proof = {"purpose": "login", "reference": "flow"}
        guess = stolen[:-1] + ("0" if stolen[-1] != "0" else "1")
        tried = {
            "another client consumes": self.service.ask("POST", f"{path}/{stolen}/consume", proof, **app),
            "another client reads": self.service.ask("GET", f"{path}/{stolen}", **app),
            "nobody's key": self.service.ask("GET", f"{path}/{stolen}", Authorization="Bearer nobody"),
            "a guessed neighbour": self._consume(guess),
            "another session's reference": self._consume(stolen, reference="attacker"),
        }
        for what, answer in tried.items():
            it.saw(what, answer)
        owner, twice = self._consume(stolen), self._consume(stolen)
        it.saw("its owner consumes", owner)
        it.saw("and once more", twice)
        it.won = any(answer.status == 200 for answer in [*tried.values(), twice]) or owner.status != 200

    def cross_purpose(self, it: Attempt) -> None:
        number = self._number()
        made = self._create(number)
        self._dial(number, made.json["call"]["number"])
        answer = self._consume(made.json["id"], purpose="password_reset")
        it.saw("a login's proof, consumed for a reset", answer)
        it.won = answer.status == 200

    def premium(self, it: Attempt) -> None:
        plans: dict[str, dict[str, Any]] = {
            "premium": {"kind": "premium"},
            "foreign": {"kind": "answer", "value": '{"phone": "12025550123", "all_phones": ["12025550123"]}'},
            "outside its own pool": {
                "kind": "answer",
                "value": '{"phone": "79585550100", "all_phones": ["79585550101"]}',
            },
        }
        for what, plan in plans.items():
            self.simulator.faults.load([], plan)
            answer = self._create(self._number())
            it.saw(f"the provider names a number that is {what}", answer)
            it.won |= answer.status == 201 or '"call"' in answer.body.decode()
        self.simulator.faults.load([], None)

    def burn(self, it: Attempt) -> None:
        number = self._number()
        self.simulator.faults.load([], {"kind": "error", "value": 3})
        before = len(self.simulator.exchange.ledger)
        statuses = [self._create(number).status for _ in range(70)]
        asked = len(self.simulator.exchange.ledger) - before
        self.simulator.faults.load([], None)
        told = ", ".join(f"{statuses.count(each)} × {each}" for each in sorted(set(statuses)))
        it.saw(f"70 creates whose orders fail, which give their limits back: {told}")
        it.saw(f"orders that the provider saw: {asked} (its ceiling is 50 a minute)")
        it.won = asked >= 50

    def enumerate(self, it: Attempt) -> None:
        limited, live = self._number(), self._number()
        for _ in range(3):
            made = self._create(limited)
            self.service.ask("DELETE", f"{self.service.api}/v1/verifications/{made.json['id']}")
        self._create(live, reference="victim")
        asked = {"blocked": BLOCKED, "limited": limited, "live": live, "fresh": self._number()}

        def start(number: str, session: str) -> tuple[int, dict[str, Any]]:
            answer = self._create(number, purpose="password_reset", reference=session)
            inner.append(answer.status)
            return answer.status, answer.json

        inner: list[int] = []
        caller = NeutralCaller(start)
        seen: dict[str, tuple[object, ...]] = {}
        with Serving(caller) as serving:
            for state, number in asked.items():
                began = time.monotonic()
                status, headers, size = _post_json(serving.url, {"phone_number": number})
                took = time.monotonic() - began
                # What differs by chance or by the clock alone is not what differs by the number.
                names = tuple(sorted(name for name, _ in headers))
                lengths = tuple(len(value) for _, value in sorted(headers))
                seen[state] = (status, names, lengths, size)
                it.saw(f"{state}: {status}, {size} bytes, after {took * 1000:.0f} ms")
                it.won |= took < ANSWER_AFTER_SECONDS
        it.saw(f"behind the endpoint waitcall answered {', '.join(map(str, inner))}")
        it.won |= len(set(seen.values())) != 1 or max(caller.took) >= ANSWER_AFTER_SECONDS
        it.won |= inner != [403, 429, 409, 201]

    def _number(self) -> str:
        return f"+{next(self._numbers)}"

    def _create(self, number: str, **fields: Any) -> Answered:
        return self.service.create(number, **fields)

    def _consume(self, verification_id: str, purpose: str = "login", reference: str = "flow") -> Answered:
        url = f"{self.service.api}/v1/verifications/{verification_id}/consume"
        return self.service.ask("POST", url, {"purpose": purpose, "reference": reference})

    def _dial(self, cli: str, did: str) -> None:
        self.service.ask("POST", f"{self.simulator.control_url}/dial", {"cli": cli, "did": did})

    def _post(self, **fields: Any) -> Answered:
        return self._raw(urlencode(fields).encode(), "application/x-www-form-urlencoded")

    def _raw(self, body: bytes, content_type: str) -> Answered:
        parts = urlsplit(self.service.callback)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
        connection.request("POST", "/callbacks/smsc", body, {"Content-Type": content_type})
        response = connection.getresponse()
        answer = Answered(response.status, response.read(), dict(response.headers))
        connection.close()
        return answer

    @staticmethod
    def _sha1(text: str) -> str:
        return hashlib.sha1(text.encode()).hexdigest()


def _post_json(url: str, body: object) -> tuple[int, list[tuple[str, str]], int]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    connection.request("POST", "/reset", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.status, response.getheaders(), len(response.read())
    connection.close()
    return answer
