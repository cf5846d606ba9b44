"""Attacks on the routes for calls to our own numbers.

The attacker knows every format, and the numbers of the pool. He has no secret, but he may have captured reports, and he chooses what he
calls with: a hidden or forged caller ID, in any spelling. No request may change a key in Redis, unless it is a genuine call.
"""

import http.client
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Protocol
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from redis import Redis

from tests.end_to_end.conftest import Service
from tests.own_calls import (
    FORM,
    JSON,
    SIP_SECRET,
    TWILIO_CALL,
    TWILIO_TOKEN,
    Report,
    event,
    signed_sip,
    telnyx,
    twilio,
)
from tests.own_doors import CALL_CONTROL, DOORS, SIP, TEXML, TWILIO, Door
from waitcall.adapters.redis.keys import READY

POOL = {
    "twilio": ["+74951234561", "+74951234562"],
    "telnyx": ["+74951234563", "+74951234564"],
    "sip": ["+74951234565", "+74951234566"],
}
OWN_NUMBERS = '[routing]\ndefault = ["smsc"]\nregions = {US = ["own"]}\n[own_numbers]\n' + "".join(
    f"{dialect} = {numbers}\n" for dialect, numbers in POOL.items()
)
SETTINGS = TWILIO.settings | TEXML.settings | SIP.settings
TYPES = {"twilio": (FORM,), "telnyx": (FORM, JSON), "sip": (JSON,)}
FOREIGN = {
    "twilio": "e" * 32,
    "telnyx": Ed25519PrivateKey.from_private_bytes(bytes(32)),
    "sip": "e" * 32,
}
OF_ANOTHER_DIALECT = {
    "twilio": SIP_SECRET,
    "telnyx": Ed25519PrivateKey.from_private_bytes(SIP_SECRET.encode()[:32]),
    "sip": TWILIO_TOKEN,
}
SIGNATURES = {
    "twilio": "X-Twilio-Signature",
    "telnyx": "telnyx-signature-ed25519",
    "sip": "X-Waitcall-Signature",
}
WITHHELD = {
    "words for a withheld number": (
        *(
            "anonymous",
            "Anonymous",
            "restricted",
            "RESTRICTED",
            "unavailable",
            "unknown",
            "private",
            "",
            "<null>",
        ),
        *("sip:anonymous@anonymous.invalid", "client:anonymous"),
    ),
    "such words, typed on a keypad": (
        *(
            "+266696687",
            "+7378742833",
            "+7378742883",
            "+2562533",
            "+8656696",
            "+86282452253",
            "+7748283",
            "+464",
        ),
    ),
    "half a number": ("+1212556", "+", "+0", "1"),
}
LONGEST = 64 * 1024
OUTCOMES = {
    400: ("call", "malformed"),
    403: ("call", "bad_signature"),
    413: ("unknown", "malformed"),
    415: ("unknown", "malformed"),
    422: ("call", "malformed"),
}
"""How a refusal of each status is counted. A wrong method never reaches the route."""
METRICS = (
    "waitcall_callbacks_total",
    "waitcall_own_calls_total",
    "waitcall_callback_lag_seconds",
    "waitcall_http_",
    "process_",
    "python_",
)
"""Beginnings of the names of the series that a request may change."""


class Told(Protocol):
    """Record of an attack."""

    won: bool

    def saw(self, what: str) -> None:
        """Record a step."""


@dataclass(frozen=True)
class Request:
    """One request of an attack, and its only right answer.

    Attributes:
        outcome: how it is counted if it is not refused.
        more: headers in addition to those of the report, which may be there already.
    """

    what: str
    door: Door
    report: Report
    status: int
    outcome: str = ""
    method: str = "POST"
    query: str = ""
    more: tuple[tuple[str, str], ...] = ()

    @property
    def counted(self) -> tuple[str, str] | None:
        return ("call", self.outcome) if self.outcome else OUTCOMES.get(self.status)


@dataclass(frozen=True)
class Victim:
    """A pending verification whose number is one of a door's."""

    door: Door
    id: str
    caller: str
    dialled: str

    def report(self, call_id: str, at: int, **changed: Any) -> Report:
        """Return the report of the call that would verify it, or of one that differs."""
        return self.door.report(call_id, at, **{"caller": self.caller, "dialled": self.dialled} | changed)


class OwnAttacks:
    """Attacks on /callbacks/twilio, /callbacks/telnyx (both of its forms) and /callbacks/sip."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._callers = (f"+1212556{each:04}" for each in count(1000))
        self._ids = count(1)

    def all(self) -> list[tuple[str, Callable[[Told], None]]]:
        """Return the name and the function of each attack."""
        return [
            ("report a call to one of our own numbers with a wrong signature, or none", self.forge),
            ("report a call to one of our own numbers at another time", self.shift),
            ("send huge, deep, doubled and unreadable reports of calls to our own numbers", self.batter),
            ("replay the report of a call to one of our own numbers", self.replay),
            ("call our own numbers from withheld and misspelled numbers", self.hide),
            ("call another number of the pool from a forged number", self.misdial),
        ]

    def forge(self, it: Told) -> None:
        self._attack(it, _forged)

    def shift(self, it: Told) -> None:
        self._attack(it, _at_another_time)

    def batter(self, it: Told) -> None:
        self._attack(it, _unreadable)

    def replay(self, it: Told) -> None:
        """Send each genuine report again, before and after its proof is consumed, and while a later verification is pending."""
        for door in DOORS:
            victim = self._victim(door)
            report = victim.report(self._id(), int(time.time()))
            keys = self._keys()
            self._send(Request("", door, report, 0))
            if self._status(victim) != "verified" or self._keys() == keys:
                raise AssertionError("The genuine report changes nothing, so its replay would prove nothing.")
            again = Request("again, while verified", door, report, door.answer[0], "repeated")
            self._strike(it, [again] * 5)
            self._service.consume(victim.id)
            self._strike(it, [replace(again, what="again, after it was consumed")] * 5)
            later = self._service.create(victim.caller).json["id"]
            self._strike(it, [replace(again, what="again, while a later one is pending")] * 5)
            it.won |= self._service.read(later).json["status"] != "pending"

    def hide(self, it: Told) -> None:
        self._attack(it, self._withheld)

    def misdial(self, it: Told) -> None:
        """Call the numbers that were not shown, until even the right number proves nothing that day."""
        for door in DOORS:
            victim = self._victim(door)
            (other,) = [each for each in POOL[door.dialect] if each != victim.dialled]
            outcomes = Counter[str]()
            for dialled in (other, other, other, victim.dialled):
                before = _counts(self._service.metrics())
                report = victim.report(self._id(), int(time.time()), dialled=dialled, vouched=False)
                answer = self._send(Request("", door, report, 0))
                it.won |= answer != door.answer[0]
                outcomes.update(outcome for _, outcome in _counts(self._service.metrics()) - before)
            it.saw(f"{door.name}: three wrong numbers, then the right one ({_told(outcomes)})")
            it.saw(f"{door.name}: the verification is {self._status(victim)}")
            it.won |= self._status(victim) != "pending"
            it.won |= outcomes != {"wrong_number": 3, "weak": 1}

    def _attack(self, it: Told, requests: Callable[[Victim, int, str], Iterator[Request]]) -> None:
        victims = [self._victim(door) for door in DOORS]
        now = int(time.time())
        self._strike(it, [each for victim in victims for each in requests(victim, now, self._id())])
        read = [self._status(victim) for victim in victims]
        it.saw(f"the verifications are {' and '.join(sorted(set(read)))}")
        it.won |= set(read) != {"pending"}

    def _strike(self, it: Told, requests: list[Request]) -> None:
        """Send the requests, and compare the answers, Redis and the metrics with what they must be."""
        keys, metrics = self._keys(), self._service.metrics()
        given = [(each, self._send(each)) for each in requests]
        for what in dict.fromkeys(each.what for each in requests):
            answers = {(each.door.name, status): None for each, status in given if each.what == what}
            it.saw(f"{what}: {', '.join(f'{door} {status}' for door, status in answers)}")
        wrong = [f"{each.what} {each.door.name} {status}" for each, status in given if status != each.status]
        changed = {name for name, _ in self._keys().items() ^ keys.items()}
        now = self._service.metrics()
        counted = _counts(now) - _counts(metrics)
        expected = Counter(each.counted for each in requests if each.counted)
        calls = _own_calls(now) - _own_calls(metrics)
        other = {name for name, _ in now.items() ^ metrics.items() if not name.startswith(METRICS)}
        it.saw(f"keys in Redis that changed: {len(changed)}")
        if wrong or changed or other or counted != expected:
            it.saw(f"unexpected: {wrong} {changed} {other} {counted} instead of {expected}")
            it.won = True
        # A report that is refused is no call.
        if calls != Counter((each.door.dialect, each.outcome) for each in requests if each.outcome):
            it.saw(f"unexpected calls: {calls}")
            it.won = True

    def _withheld(self, victim: Victim, now: int, _: str) -> Iterator[Request]:
        door = victim.door
        for what, callers in WITHHELD.items():
            for caller in callers:
                report = victim.report(self._id(), now, caller=caller)
                yield Request(what, door, report, door.answer[0], "unmatched")
        for caller in (
            victim.caller[1:],
            f"00{victim.caller[1:]}",
            f"{victim.caller};ext=1",
            f"{victim.caller}@x.example",
        ):
            report = victim.report(self._id(), now, caller=caller)
            yield Request("the victim's number in another form", door, report, door.answer[0], "unmatched")
        if door is SIP:
            hidden = json.loads(victim.report(self._id(), now).body) | {"private": True}
            report = signed_sip(json.dumps(hidden).encode())
            yield Request("the victim's number, withheld", door, report, door.answer[0], "unmatched")

    def _victim(self, door: Door) -> Victim:
        for caller in self._callers:
            made = self._service.create(caller).json
            if made["call"]["number"] in POOL[door.dialect]:
                return Victim(door, made["id"], caller, made["call"]["number"])
            self._service.ask("DELETE", f"{self._service.api}/v1/verifications/{made['id']}")
        raise AssertionError

    def _id(self) -> str:
        return str(next(self._ids))

    def _status(self, victim: Victim) -> str:
        return str(self._service.read(victim.id).json["status"])

    def _send(self, request: Request) -> int:
        """Send a request, and return the status of the answer."""
        parts = urlsplit(self._service.callback)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=40)
        path = request.door.path.decode() + request.query
        given = {"Content-Length": str(len(request.report.body))} | request.report.headers
        with closing(connection):
            connection.putrequest(request.method, path)
            for name, value in (*given.items(), *request.more):
                connection.putheader(name, value)
            connection.endheaders(request.report.body)
            response = connection.getresponse()
            response.read()
            return response.status

    def _keys(self) -> dict[bytes, Any]:
        """Read the value of every key, except those that the worker and the probes write all the time."""
        with Redis.from_url(self._service.environ["WAITCALL_REDIS_URL"]) as client:
            names = [
                each
                for each in client.scan_iter(count=1000)
                if not each.startswith((b"waitcall:{worker}:", *(each.encode() for each in READY)))
            ]
            return {name: client.dump(name) for name in names}


def _counts(metrics: dict[str, float]) -> Counter[tuple[str, str]]:
    """Return the number of callbacks by kind and outcome."""
    return _by(metrics, r'waitcall_callbacks_total\{kind="(.+)",outcome="(.+)"\}')


def _own_calls(metrics: dict[str, float]) -> Counter[tuple[str, str]]:
    """Return the number of calls by dialect and outcome."""
    return _by(metrics, r'waitcall_own_calls_total\{attestation=".+",dialect="(.+)",outcome="(.+)"\}')


def _by(metrics: dict[str, float], series: str) -> Counter[tuple[str, str]]:
    counts = Counter[tuple[str, str]]()
    for name, value in metrics.items():
        if found := re.fullmatch(series, name):
            counts[found[1], found[2]] += int(value)
    return counts


def _forged(victim: Victim, now: int, call_id: str) -> Iterator[Request]:
    door, dialect, sound = victim.door, victim.door.dialect, victim.report(call_id, now)
    header, kind = SIGNATURES[dialect], sound.headers["Content-Type"]
    signature = sound.headers[header]
    other_caller = sound.body.replace(victim.caller[1:].encode(), b"12125569999")
    other_number = next(each for each in POOL[dialect] if each != victim.dialled)
    reports = {
        "unsigned": Report(sound.body, {"Content-Type": kind}),
        "an empty signature": Report(sound.body, sound.headers | {header: ""}),
        "half of the signature": Report(sound.body, sound.headers | {header: signature[:20]}),
        "the signature in lower case": Report(sound.body, sound.headers | {header: signature.lower()}),
        "signed with a foreign key": victim.report(call_id, now, secret=FOREIGN[dialect]),
        "signed with the secret of another dialect": victim.report(
            call_id, now, secret=OF_ANOTHER_DIALECT[dialect]
        ),
        "another caller under the signature": Report(other_caller, sound.headers),
        "another number under the signature": Report(
            sound.body.replace(victim.dialled[1:].encode(), other_number[1:].encode()), sound.headers
        ),
        "a space added": Report(sound.body + b" ", sound.headers),
        "no body": Report(b"", sound.headers),
    }
    for what, report in reports.items():
        yield Request(what, door, report, 403)
    for value in ("x", signature):
        twice = ((header, value),)
        yield Request("two signatures", door, sound, 403, more=twice)
    for other in DOORS:
        if other.dialect != dialect:
            foreign = other.report(call_id, now, caller=victim.caller, dialled=victim.dialled)
            status = 403 if foreign.headers["Content-Type"] in TYPES[dialect] else 415
            yield Request(f"a report that is genuine at {other.name}", door, foreign, status)
    if door is TWILIO:
        yield Request("a query after the signed URL", door, sound, 403, query="?a=b")


def _at_another_time(victim: Victim, now: int, call_id: str) -> Iterator[Request]:
    """Signed with the right key, as reports are that were captured or held back."""
    door = victim.door
    if door is SIP:
        for shift in (-3600, -901 - 60, 60, 3600):
            yield Request(
                "a captured report of an old or a future call", door, victim.report(call_id, now + shift), 422
            )
        for ts in ("1", 1.5, True, None, -1, 10**20):
            body = json.loads(victim.report(call_id, now).body) | {"ts": ts}
            yield Request("a time that is none", door, signed_sip(json.dumps(body).encode()), 422)
    elif door is not TWILIO:
        for shift in (-3600, -360, 360, 3600):
            yield Request(
                "a captured report of an old or a future call", door, victim.report(call_id, now + shift), 403
            )
        sound = victim.report(call_id, now)
        for timestamp in ("", "x", "-1", "1e9", f"{now}.0", "9" * 20, f" {now}0"):
            signed = telnyx(sound.body, sound.headers["Content-Type"], timestamp)
            yield Request("a time that is none", door, signed, 403)
        later = sound.headers | {"telnyx-timestamp": str(now + 1)}
        yield Request("another time under the signature", door, Report(sound.body, later), 403)


def _unreadable(victim: Victim, now: int, call_id: str) -> Iterator[Request]:
    door, sound = victim.door, victim.report(call_id, now)
    kind = sound.headers["Content-Type"]
    unsigned = {"Content-Type": kind}
    yield Request(
        "a body of 64 KiB and more", door, Report(sound.body.ljust(LONGEST + 1), sound.headers), 413
    )
    long = sound.headers | {"Content-Length": "9999999"}
    yield Request("a length of 10 MB", door, Report(sound.body, long), 413)
    for other in ("text/plain", "multipart/form-data; boundary=x", "text/xml", "", "x"):
        headers = sound.headers | {"Content-Type": other}
        yield Request("another type", door, Report(sound.body, headers), 415)
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        yield Request("another method", door, sound, 405, method=method)
    full = LONGEST - 100
    if kind == JSON:
        deep = {"a list in a list, and so on": b"[", "an object in an object, and so on": b'{"a":'}
        for what, piece in deep.items():
            body = piece * (full // len(piece))
            yield Request(f"{what}, unsigned", door, Report(body, unsigned), 403)
    else:
        many = b"a&" * (full // 2)
        yield Request("30,000 parameters, unsigned", door, Report(many, unsigned), 403)
        if door is TWILIO:
            # Twilio signs the parameters, not the body. They are read first, and there may not be so many.
            signed = Report(many, sound.headers)
            yield Request("30,000 parameters, wrongly signed", door, signed, 400)
    yield from (Request(what, door, *answer) for what, *answer in _signed_nonsense(victim, now, call_id))


def _signed_nonsense(victim: Victim, now: int, call_id: str) -> Iterator[tuple[Any, ...]]:
    """Reports with the right signature, because what a caller chooses may stand in them."""
    sound = victim.report(call_id, now)
    pairs = f"From=%2B{victim.caller[1:]}&To=%2B{victim.dialled[1:]}&CallStatus=ringing&CallSid=v3".encode()
    deep = b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    if victim.door is TWILIO:
        call = TWILIO_CALL | {
            "CallSid": f"CA{int(call_id):032x}",
            "From": victim.caller,
            "To": victim.dialled,
        }
        yield "a parameter twice", Report(sound.body + b"&To=1", sound.headers), 400
        yield "a parameter twice, signed", twilio([*call.items(), ("From", victim.caller)]), 400
        yield "two parameters as one, signed", twilio(call | {"From": f"{victim.caller}FromCityX"}), 400
        yield "a NUL, signed", twilio(call | {"CallerName": "a\0"}), 400
        yield "a parameter is missing, signed", twilio({n: v for n, v in call.items() if n != "To"}), 400
    elif victim.door is TEXML:
        for what, body in {
            "a parameter twice, signed": pairs + b"&From=%2B12125569999",
            "a NUL, signed": pairs + b"&CallerName=a%00",
            "no UTF-8, signed": pairs + b"&CallerName=%ff",
            "a parameter is missing, signed": pairs.replace(b"To=", b"Too="),
            "30,000 parameters, signed": b"a&" * 30_000,
        }.items():
            yield what, telnyx(body, FORM, now), 400
    elif victim.door is CALL_CONTROL:
        yield "10,000 objects in each other, signed", telnyx(deep, JSON, now), 400
        yield "no object, signed", telnyx(b"[1]", JSON, now), 400
        twice = json.dumps(event(**{"from": victim.caller, "to": victim.dialled}))
        body = twice.replace('"from"', '"from": "+12125569999", "from"').encode()
        yield "a name twice, signed", telnyx(body, JSON, now), 200, "malformed"
    else:
        yield "10,000 objects in each other, signed", signed_sip(deep), 422
        quoted = sound.body.replace(b'"caller"', b'"caller": "+12125569999", "caller"')
        yield "a name twice, signed", signed_sip(quoted), 422
        yield "a member too many, signed", signed_sip(sound.body[:-1] + b', "x": 1}'), 422
        yield "no UTF-8, signed", signed_sip(sound.body.replace(b"ts", b"\xff")), 422


def _told(outcomes: Counter[str]) -> str:
    return ", ".join(f"{number} × {outcome}" for outcome, number in outcomes.items())
