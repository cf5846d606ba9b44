"""Attack the running service in every way that is known from the bugs of similar services.

Each attack records what it tried, what came back and whether it succeeded. ``test_attacks.py`` runs them all.
``make attack`` also writes the record to docs/attacks.md.
"""

import hashlib
import http.client
import json
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlencode, urlsplit

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType
from redis import Redis

from simulator.server import Simulator
from tests.end_to_end.conftest import SECRET, Answered, Service, poll_inbox, settle
from tests.end_to_end.neutral_caller import ANSWER_AFTER_SECONDS, NeutralCaller, Serving
from tests.end_to_end.own_attacks import OWN_NUMBERS, OwnAttacks
from tests.own_calls import FORM, JSON

APP_KEY = "a-key-of-app"
OPERATOR_KEY = "a-key-of-operator"
BLOCKED = "+79000000001"
DEDICATED = "79585550000"
OWNER_IP, ATTACKER_IP = "198.51.100.7", "203.0.113.9"
POLLS = 2600
PATIENCE_SECONDS = 15
"""Seconds that a request may take. This is shorter than any long poll, so the answer came during the flood."""
POLICY = f"""
dial_regions = ["RU"]
[purposes.login]
[purposes.contested]
on_concurrent = "contest"
[purposes.by_code]
channels = ["call", "code"]
[purposes.dialled]
match_dialled = true
[purposes.password_reset]
require_reference = true
min_assurance = "network"
[clients.web]
purposes = ["login", "contested", "by_code", "dialled", "password_reset"]
hosted = {{return_origins = ["https://login.example.org"]}}
[clients.app]
purposes = ["login"]
[clients.operator]
purposes = []
scopes = ["operate"]
[text_in]
numbers = ["+{DEDICATED}"]
[limits]
number = ["3/10m"]
ip = ["5/h"]
[[lists]]
action = "block"
number = "{BLOCKED}"
reason = "an attacker asks for it"
[assurance.RU]
level = "network"
source = "for the test"
{OWN_NUMBERS}"""


@dataclass
class Attempt:
    """Record of an attack: its steps and whether it succeeded."""

    threat: str
    name: str
    told: list[str] = field(default_factory=list)
    won: bool = False

    @property
    def heading(self) -> str:
        """Name of the attack, after the threat that it belongs to if there is one."""
        return f"{self.threat}: {self.name}" if self.threat else self.name.capitalize()

    def saw(self, what: str, answer: Answered | None = None) -> None:
        """Record a step, with the status and code of the answer if one is given."""
        if answer is None:
            self.told.append(what)
            return
        try:
            code = answer.json.get("code") or answer.json.get("status", "")
        except (ValueError, AttributeError):
            code = answer.body.decode(errors="replace")[:40]
        self.told.append(f"{what}: {answer.status} {code}".rstrip())


class Attacker:
    """Attacker who knows the API, the provider's protocol and the victim's number, but no secret."""

    def __init__(self, service: Service, simulator: Simulator) -> None:
        self.service = service
        self.simulator = simulator
        self._numbers: Iterator[int] = count(79991000000)

    def all(self) -> Iterator[Attempt]:
        """Make every attack in order, and yield its record."""
        # Those on our own numbers compare all of Redis, so they come before any call that the worker may still find in the inbox.
        attacks: list[tuple[str, str, Callable[[Attempt], None]]] = [
            *(("", name, attack) for name, attack in OwnAttacks(self.service).all()),
            (
                "T1",
                "reset a password with a forged caller ID from a country that does not check caller IDs",
                self.spoof,
            ),
            ("T2", "get verified by the victim's call in another session", self.ride),
            ("T2", "start first, and let the victim's redial verify the attacker's session", self.squat),
            ("T3", "replay a captured callback against a later verification", self.replay),
            ("T3", "replay an unmatched call after starting a verification", self.replay_unmatched),
            ("T3", "present the signature of an SMS or a status as that of a call", self.confuse),
            ("T3", "send callbacks with forged, missing and foreign hashes", self.forge),
            ("T3", "hide entities, objects and doubled fields in the callback", self.smuggle),
            ("T3", "send a text from a forged sender that looks like a call in the inbox", self.forge_texts),
            ("T4", "consume a stolen id with another client's key, by guessing, and twice", self.steal),
            ("T5", "consume a login's proof for a password reset", self.cross_purpose),
            ("T7", "have the service show a premium number", self.premium),
            ("T7", "use up the provider's limit for one number", self.burn),
            ("T7", "have codes sent to premium and satellite numbers", self.pump_premium),
            ("T7", "have codes sent to sixty numbers from one address", self.pump),
            ("T7", "exceed the limit of an address with fallbacks and resends", self.launder),
            ("T2", "spoil other people's resets by contesting them for free", self.spoil),
            ("T2", "lock an owner out by creating and canceling", self.lock_out),
            ("", "guess more codes by starting again", self.guess),
            ("T13", "use a number after an operator blocks it", self.outlive_a_block),
            ("", "stop the service with bodies and headers that are slow to read", self.stall),
            ("", "break the public listener with malformed forwarded addresses", self.confuse_addresses),
            ("", "block the provider's callback with long polls of one page", self.starve),
            (
                "T8",
                "tell blocked, limited, live and fresh numbers apart by status, size and time",
                self.enumerate,
            ),
        ]
        for threat, name, attack in attacks:
            attempt = Attempt(threat, name)
            attack(attempt)
            yield attempt

    def spoof(self, it: Attempt) -> None:
        answer = self._create("+77011234567", purpose="password_reset")
        it.saw("create with purpose password_reset for a number of KZ", answer)
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
        it.saw("the attacker's create right after the call", again)
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
        it.saw("the attacker consumes", redeemed)
        it.won = read.json["status"] == "verified" or redeemed.status == 200

    def replay(self, it: Attempt) -> None:
        number = self._number()
        first = self._create(number)
        ts = int(time.time())
        it.saw("the captured callback", self.service.call(number[1:], ts))
        self._consume(first.json["id"])
        # The requester is the same, because the cooldown would refuse another one.
        answer = self._create(number)
        it.saw("a later verification of the number", answer)
        it.saw("the callback again", self.service.call(number[1:], ts))
        read = self.service.read(answer.json["id"])
        it.saw("read of the later one", read)
        it.won = read.json["status"] == "verified"

    def replay_unmatched(self, it: Attempt) -> None:
        number = self._number()
        ts = int(time.time())
        it.saw("a call without a verification", self.service.call(number[1:], ts))
        made = self._create(number)
        it.saw("create, a moment later", made)
        it.saw("the callback again", self.service.call(number[1:], ts))
        read = self.service.read(made.json["id"])
        it.saw("read", read)
        it.won = read.json["status"] == "verified"

    def confuse(self, it: Attempt) -> None:
        number = self._number()
        made = self._create(number)
        phone, ts = number[1:], int(time.time())
        sms = self._sha1(f"{phone}:{ts}:79585550100:{SECRET}")
        it.saw(
            "a genuine SMS whose text is a time",
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
            it.saw("its signature on a call", answer)
        read = self.service.read(made.json["id"])
        it.saw("read", read)
        # The second request is still a genuine SMS, with one field too many. It is acknowledged as an SMS.
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
            "with the password of public examples": {"sha1": self._sha1(text + "secret")},
            "with the right secret under another algorithm": {
                "md5": hashlib.md5(f"{text}{SECRET}".encode()).hexdigest()
            },
            "with half of the right hash": {"sha1": self._sha1(text + SECRET)[:20]},
            "with another number's hash": {"sha1": self._sha1(f"79990000000:{ts}:{SECRET}")},
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
            "an unknown key": self.service.ask("GET", f"{path}/{stolen}", Authorization="Bearer nobody"),
            "a guessed id": self._consume(guess),
            "another session's reference": self._consume(stolen, reference="attacker"),
        }
        for what, answer in tried.items():
            it.saw(what, answer)
        owner, twice = self._consume(stolen), self._consume(stolen)
        it.saw("its owner consumes", owner)
        it.saw("its owner consumes again", twice)
        it.won = any(answer.status == 200 for answer in [*tried.values(), twice]) or owner.status != 200

    def cross_purpose(self, it: Attempt) -> None:
        number = self._number()
        made = self._create(number)
        self._dial(number, made.json["call"]["number"])
        answer = self._consume(made.json["id"], purpose="password_reset")
        it.saw("consume of a login's proof for a reset", answer)
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
        it.saw(f"70 creates with failing orders, which do not count for the limits: {_counted(statuses)}")
        it.saw(f"orders seen by the provider: {asked} (its limit is 50 a minute)")
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
                # Values differ by chance and by the clock, so only names and lengths of headers are compared.
                names = tuple(sorted(name for name, _ in headers))
                lengths = tuple(len(value) for _, value in sorted(headers))
                seen[state] = (status, names, lengths, size)
                it.saw(f"{state}: {status}, {size} bytes, after {took * 1000:.0f} ms")
                it.won |= took < ANSWER_AFTER_SECONDS
        it.saw(f"waitcall's answers behind the endpoint: {', '.join(map(str, inner))}")
        it.won |= len(set(seen.values())) != 1 or max(caller.took) >= ANSWER_AFTER_SECONDS
        it.won |= inner != [403, 429, 409, 201]

    def forge_texts(self, it: Attempt) -> None:
        texts = {"a dedicated number": "[waitcall] hello", "the number shown": "[waitcall]"}
        ids = {}
        # The first poll of an installation cannot tell the time of a record and so proves nothing (ADR 0017).
        self._poll_inbox()
        for purpose in ("login", "dialled"):
            for to, words in texts.items():
                number = self._number()
                made = self._create(number, purpose=purpose)
                ids[f"{purpose}, texted to {to}"] = made.json["id"]
                did = DEDICATED if to == "a dedicated number" else made.json["call"]["number"][1:]
                self._control("text", cli=number, to=did, text=words)
        for _ in range(2):
            settle()
            self._poll_inbox()
        for what, verification_id in ids.items():
            read = self.service.read(verification_id)
            it.saw(f"{what}, read after two polls of the inbox", read)
            it.won |= read.json["status"] != "pending"

    def pump_premium(self, it: Attempt) -> None:
        parsed = [phonenumbers.example_number_for_non_geo_entity(code) for code in (979, 881, 808, 800, 882)]
        dear = (PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST, PhoneNumberType.TOLL_FREE)
        parsed += [
            phonenumbers.example_number_for_type(region, kind) for region in ("RU", "GB") for kind in dear
        ]
        before = self._messages()
        for each in filter(None, parsed):
            number = phonenumbers.format_number(each, PhoneNumberFormat.E164)
            answer = self._create(number, purpose="by_code", channel="code")
            it.saw(f"a code to {number[:5]}…", answer)
        sent = self._messages() - before
        it.saw(f"messages sent by the provider: {sent}")
        it.won = sent > 0

    def pump(self, it: Attempt) -> None:
        before = self._messages()
        statuses = [
            self._create(self._number(), purpose="by_code", channel="code", client_ip="203.0.113.10").status
            for _ in range(60)
        ]
        sent = self._messages() - before
        it.saw(f"60 creates: {_counted(statuses)}")
        it.saw(f"messages sent by the provider: {sent} (the limit of an address is 5 an hour)")
        it.won = sent > 5

    def launder(self, it: Attempt) -> None:
        made = [
            self._create(self._number(), purpose="by_code", client_ip="203.0.113.11").json for _ in range(5)
        ]
        before = self._messages()
        fallen = [self._act(each["id"], "fallback").status for each in made]
        again = [self._act(each["id"], "resend").status for each in made]
        sent = self._messages() - before
        it.saw("5 creates by call use up the limit of the address")
        it.saw(f"5 fallbacks to a code: {_counted(fallen)}")
        it.saw(f"5 resends: {_counted(again)}")
        it.saw(f"messages sent by the provider: {sent}")
        it.won = sent > 0

    def spoil(self, it: Attempt) -> None:
        victims = [self._number() for _ in range(12)]
        ids = [
            self._create(each, purpose="contested", reference=f"victim-{each}").json["id"] for each in victims
        ]
        statuses = [
            self._create(each, purpose="contested", reference="attacker", client_ip=ATTACKER_IP).status
            for each in victims
        ]
        spoiled = sum(self.service.read(each).json["status"] == "contested" for each in ids)
        it.saw(f"12 creates for numbers whose owners are about to call: {_counted(statuses)}")
        it.saw(f"resets spoiled: {spoiled} (the limit of an address is 5 an hour)")
        it.won = spoiled > 5

    def lock_out(self, it: Attempt) -> None:
        number = self._number()
        statuses = []
        for host in range(20, 24):
            for _ in range(6):
                answer = self._create(number, reference=None, client_ip=f"203.0.113.{host}")
                statuses.append(answer.status)
                if answer.status == 201:
                    self.service.ask("DELETE", f"{self.service.api}/v1/verifications/{answer.json['id']}")
        it.saw(f"24 creates for the victim's number from 4 addresses, canceled at once: {_counted(statuses)}")
        owner = self._create(number, reference="owner", client_ip=OWNER_IP)
        it.saw("the owner's create", owner)
        it.won = owner.status != 201

    def guess(self, it: Attempt) -> None:
        number = self._number()
        checked: list[str] = []
        created = []
        for _ in range(10):
            made = self._create(number, purpose="by_code", channel="code", reference=None)
            created.append(made.status)
            if made.status != 201:
                break
            for code in range(6):
                answer = self._act(made.json["id"], "check", code=f"{len(checked) + code:06}")
                checked.append(answer.json.get("code", answer.json.get("status")))
        compared = checked.count("code_mismatch")
        it.saw(f"creates: {_counted(created)}")
        it.saw(f"codes compared: {compared} (at most 20 a day for one number)")
        it.won = compared > 20 or "verified" in checked

    def outlive_a_block(self, it: Attempt) -> None:
        pending, verified = self._number(), self._number()
        waiting, proven = self._create(pending), self._create(verified)
        self._dial(verified, proven.json["call"]["number"])
        for number in (pending, verified):
            self.service.ask(
                "POST",
                f"{self.service.api}/v1/operator/lists",
                {"action": "block", "number": number, "reason": "an attacker has the SIM", "expires_in": 600},
                Authorization=f"Bearer {OPERATOR_KEY}",
            )
        it.saw("an operator blocks a number that waits for its call, and one that has called")
        self._dial(pending, waiting.json["call"]["number"])
        read = self.service.read(waiting.json["id"])
        it.saw("read of the first after its call", read)
        consumed = [self._consume(each.json["id"]) for each in (waiting, proven)]
        for answer in consumed:
            it.saw("consume", answer)
        it.won = read.json["status"] == "verified" or any(answer.status == 200 for answer in consumed)

    def stall(self, it: Attempt) -> None:
        full = 65_000
        bodies = {
            "XML of spaces": b"<a>" + b" " * full + b"</a>",
            "an XML declaration without an end": b"<?xml " + b"encoding=' " * (full // 11),
            "XML of 16,000 elements": b"<a>" + b"<b/>" * (full // 4) + b"</a>",
            "JSON of 65,000 brackets": b'{"a":' + b"[" * full,
            "JSON of one number": b'{"a":' + b"9" * full + b"}",
            "a form of 30,000 fields": b"a&" * (full // 2),
            "a form of escapes": b"a=" + b"%25" * (full // 3),
        }
        own = (
            ("/callbacks/twilio", FORM, "a form of 30,000 fields"),
            ("/callbacks/twilio", FORM, "a form of escapes"),
            ("/callbacks/telnyx", FORM, "a form of 30,000 fields"),
            ("/callbacks/telnyx", JSON, "JSON of 65,000 brackets"),
            ("/callbacks/sip", JSON, "JSON of 65,000 brackets"),
        )
        with ExitStack() as waiting:
            for _ in range(4):
                for body in bodies.values():
                    waiting.enter_context(self._leave_waiting("POST", "/callbacks/smsc", body))
                for path, kind, what in own:
                    typed = {"Content-Type": kind}
                    waiting.enter_context(self._leave_waiting("POST", path, bodies[what], typed))
                many = {"Accept-Language": "x-a," * 2000}
                waiting.enter_context(self._leave_waiting("GET", "/p/nothing", b"", many))
            for request in (*bodies, *(f"{what}, to {path}" for path, _, what in own), "2,000 languages"):
                it.saw(f"4 requests at once: {request}")
            it.won = not self._is_answering(it)

    def confuse_addresses(self, it: Attempt) -> None:
        odd = (
            "203.0.113.9:1234",
            "[2001:db8::1]",
            "[2001:db8::1]:443",
            "fe80::1%eth0",
            "unknown",
            ",,",
            "\xff",
        )
        paths = ("/p/nothing", "/p/nothing/status", "/callbacks/smsc?a=b", "/")
        statuses = [
            self._ask_public("GET", path, headers={"X-Forwarded-For": each}).status
            for each in odd
            for path in paths
        ]
        it.saw(f"{len(odd)} forwarded addresses at 4 paths: {_counted(statuses)}")
        it.won = max(statuses) >= 500

    def starve(self, it: Attempt) -> None:
        made = self._create(self._number(), hosted={"return_url": "https://login.example.org/phone"})
        path = f"{urlsplit(made.json['hosted_url']).path}/status?wait=25"
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(2 * POLLS, hard)), hard))
        with ExitStack() as open_polls:
            for _ in range(POLLS):
                open_polls.enter_context(self._leave_waiting("GET", path, b""))
            it.saw(f"{POLLS:,} long polls of one page, from one address")
            it.won = not self._is_answering(it)

    def _is_answering(self, it: Attempt) -> bool:
        """Tell whether signed callbacks, reads and probes are still answered, each within PATIENCE_SECONDS."""
        answered, slowest = [], 0.0
        for _ in range(12):
            number, ts = self._number()[1:], int(time.time())
            fields = {"waitcall": 1, "phone": number, "ts": ts, "sha1": self._sha1(f"{number}:{ts}:{SECRET}")}
            began = time.monotonic()
            try:
                body = urlencode(fields).encode()
                answer = self._ask_public("POST", "/callbacks/smsc", body, timeout=PATIENCE_SECONDS)
                slowest = max(slowest, time.monotonic() - began)
                probe = self.service.ask("GET", f"{self.service.ops}/livez", timeout=PATIENCE_SECONDS)
                read = self.service.ask(
                    "GET", f"{self.service.api}/v1/verifications/ver_x", timeout=PATIENCE_SECONDS
                )
                answered.append((answer.status, probe.status, read.status) == (200, 200, 404))
            except OSError:
                answered.append(False)
        told = f"the slowest callback after {slowest * 1000:.0f} ms"
        it.saw(
            f"signed callbacks, probes and reads answered during the attack: {sum(answered)} of 12, {told}"
        )
        return all(answered)

    def _leave_waiting(
        self, method: str, path: str, body: bytes, headers: dict[str, str] | None = None
    ) -> socket.socket:
        """Send a request and return its connection without waiting for the answer."""
        parts = urlsplit(self.service.callback)
        connection = socket.create_connection((str(parts.hostname), parts.port), timeout=PATIENCE_SECONDS)
        lines = {"Host": parts.netloc, "Content-Length": str(len(body))} | (headers or {})
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        return connection

    def _poll_inbox(self) -> None:
        with Redis.from_url(self.service.environ["WAITCALL_REDIS_URL"]) as client:
            poll_inbox(client)

    def _messages(self) -> int:
        """Return the number of messages that the provider has sent."""
        return len(self.service.ask("GET", f"{self.simulator.control_url}/messages").json["messages"])

    def _control(self, action: str, **order: Any) -> Answered:
        return self.service.ask("POST", f"{self.simulator.control_url}/{action}", order)

    def _act(self, verification_id: str, action: str, **body: Any) -> Answered:
        return self.service.ask(
            "POST", f"{self.service.api}/v1/verifications/{verification_id}/{action}", body
        )

    def _number(self) -> str:
        return f"+{next(self._numbers)}"

    def _create(self, number: str, **fields: Any) -> Answered:
        return self.service.create(number, **fields)

    def _consume(self, verification_id: str, purpose: str = "login", reference: str = "flow") -> Answered:
        url = f"{self.service.api}/v1/verifications/{verification_id}/consume"
        return self.service.ask("POST", url, {"purpose": purpose, "reference": reference})

    def _dial(self, cli: str, did: str) -> None:
        self._control("dial", cli=cli, did=did)

    def _post(self, **fields: Any) -> Answered:
        return self._raw(urlencode(fields).encode(), "application/x-www-form-urlencoded")

    def _raw(self, body: bytes, content_type: str) -> Answered:
        return self._ask_public("POST", "/callbacks/smsc", body, {"Content-Type": content_type})

    def _ask_public(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        timeout: float = 40,
    ) -> Answered:
        parts = urlsplit(self.service.callback)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=timeout)
        with closing(connection):
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answered(response.status, response.read(), dict(response.headers))

    @staticmethod
    def _sha1(text: str) -> str:
        return hashlib.sha1(text.encode()).hexdigest()


def _counted(statuses: list[int]) -> str:
    return ", ".join(f"{statuses.count(each)} × {each}" for each in sorted(set(statuses)))


def _post_json(url: str, body: object) -> tuple[int, list[tuple[str, str]], int]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    connection.request("POST", "/reset", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.status, response.getheaders(), len(response.read())
    connection.close()
    return answer
