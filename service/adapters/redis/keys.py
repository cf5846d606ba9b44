"""Every key name, and how long keys are kept. What belongs to one number shares one hash tag, and so one cluster slot.

``waitcall:{TAG}:latest``      id of the number's latest verification
``waitcall:{TAG}:v:RANDOM``    a verification's record
``waitcall:{TAG}:call:TS``     a call that was used
``waitcall:{TAG}:texted``      that a text which looks like a call came from the number; ``…:texted:HASH`` that this one came
``waitcall:{HASH}:limit:...``  what was spent on a number, or by a client, address, country or everybody
``waitcall:{HASH}:answer``     an answer stored under an Idempotency-Key
``waitcall:{HASH}:conversion:...``  numbers shown and called, of a country or prefix
``waitcall:{due-N}:due``       ids by the instant at which time alone changes their records, in eight parts
``waitcall:{due-N}:ready``     that a write was taken lately: readiness asks; ``…:set``, ``…:stream``, ``…:hash`` beside it
``waitcall:{audit-N}:audit``   the audit stream, in eight parts
``waitcall:{lists}:lists``     what operators blocked and allowed
``waitcall:{audit-N}:deliveries``  events on their way to endpoints; ``…:retries`` and ``…:dead`` beside it
``waitcall:{audit-N}:announced:EVENT``  that an event was announced
``waitcall:{worker}:lease``    which worker leads
``waitcall:{worker}:fence``    how many terms there were
``waitcall:{worker}:inbox``    how far the provider's inbox was read
``waitcall:{orders-NAME}:order:ID``  whose verification an order of another provider is; ``…:ask`` which to ask about

TAG is a keyed hash of the number (96 bits), so no key name holds a number; a verification's id begins
with it, so that the id alone finds the slot, whatever the pepper was.

While the pepper rotates, a second one is known beside it (docs/adr/0014). What is new is written under the
first; what may have been written under the other is looked for under both.
"""

import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from service.domain.evidence import skeleton
from service.domain.order import ProviderOrder

DUE_PARTS = 8
"""The deadlines are spread over a cluster's nodes."""
AUDIT_PARTS = 8
"""And so is the audit stream."""
_DUE, _READY = (
    tuple(f"waitcall:{{due-{part}}}:{name}" for part in range(DUE_PARTS)) for name in ("due", "ready")
)
_AUDIT, _DELIVERIES, _RETRIES, _DEAD = (
    tuple(f"waitcall:{{audit-{part}}}:{name}" for part in range(AUDIT_PARTS))
    for name in ("audit", "deliveries", "retries", "dead")
)
LISTS = "waitcall:{lists}:lists"
LEASE = "waitcall:{worker}:lease"
FENCE = "waitcall:{worker}:fence"
INBOX = "waitcall:{worker}:inbox"


_PADDING = timedelta(seconds=10)
"""Redis deletes a little later than the rules forget, so that its clock decides nothing."""


def keep_ms(until: datetime, now: datetime) -> int:
    """Return how long Redis keeps a key that counts until then, in milliseconds."""
    return int((max(until - now, timedelta()) + _PADDING).total_seconds() * 1000)


def order_key(order: ProviderOrder) -> str:
    """Where an order's verification is named. The provider's id says nothing of anybody's number."""
    return f"waitcall:{{orders-{order.provider}}}:order:{order.id}"


def orders_to_ask(provider: str) -> str:
    """Orders by the instant at which they are asked about."""
    return f"waitcall:{{orders-{provider}}}:ask"


ID_PREFIX_LENGTH = 28
"""Of an id: ``ver_`` and the tag; what follows names the record."""

_ID = re.compile(r"ver_([0-9a-f]{24})([0-9a-f]{40})", re.ASCII)


def tag_of(verification_id: str) -> str:
    """The hash tag that an id of ours begins with.

    Raises:
        ValueError: no id of ours.
    """
    match = _ID.fullmatch(verification_id)
    if match is None:
        raise ValueError("An id that this store did not make.")
    return match[1]


class Keys:
    """Key names under one pepper.

    Attributes:
        hash_of: keyed hash of some words, 96 bits in hexadecimal.
        others: the same names under the pepper that is being rotated to, or from.
    """

    def __init__(self, pepper: str, *others: str) -> None:
        self._pepper = pepper.encode()
        # Clients and countries come with every create, and a number several times with each request.
        self.hash_of = lru_cache(maxsize=2048)(self._hash_of)
        self.others = tuple(Keys(other) for other in others)

    def _hash_of(self, *parts: str) -> str:
        return self.long_hash_of("\x1f".join(parts).encode())[:24]

    def long_hash_of(self, content: bytes) -> str:
        """Keyed hash of anything, 256 bits in hexadecimal."""
        return hmac.digest(self._pepper, content, "sha256").hex()

    def new_id(self, number: str) -> str:
        """A verification id for a number, with 160 random bits: a secret even where its end is logged."""
        return f"ver_{self.tag(number)}{secrets.token_hex(20)}"

    def record(self, verification_id: str) -> str | None:
        """Where a verification lives; None for what is no id."""
        match = _ID.fullmatch(verification_id)
        return f"waitcall:{{{match[1]}}}:v:{match[2]}" if match else None

    def records(self, tag: str) -> str:
        """Where the names of a tag's records begin."""
        return f"waitcall:{{{tag}}}:v:"

    def tag(self, number: str) -> str:
        """The hash tag of everything that belongs to a number."""
        return self.hash_of("number", number)

    def latest(self, tag: str) -> str:
        """Where the id of the latest verification of a tag's number lives."""
        return f"waitcall:{{{tag}}}:latest"

    def call(self, tag: str, at: datetime) -> str:
        """Where the use of a call is marked."""
        return f"waitcall:{{{tag}}}:call:{int(at.timestamp())}"

    def texted(self, number: str, text: str | None = None) -> str:
        """Key that marks that a text which looks like a call came from a number; with ``text``, that this one came."""
        place = f"waitcall:{{{self.tag(number)}}}:texted"
        return place if text is None else f"{place}:{self.hash_of('text', number, skeleton(text))}"

    def limit(
        self, scope: str, subject: str, count: int, period_seconds: int, seal: str | None = None
    ) -> str:
        """Where a limit counts; ``seal`` is the subject's hash where only that is known."""
        tag = seal or self.hash_of(scope, subject)
        return f"waitcall:{{{tag}}}:limit:{scope}:{count}:{period_seconds}"

    def conversion(self, group: str, subject: str, bucket_seconds: int) -> str:
        """Where the conversion guard counts a group."""
        return f"waitcall:{{{self.hash_of(group, subject)}}}:conversion:{group}:{bucket_seconds}"

    def audit_part(self, number: str) -> int:
        """Which of the parts has a number's entries, and its events."""
        return int(self.hash_of("audit-number", number)[-1], 16) % AUDIT_PARTS

    def announced(self, part: int, event_id: str) -> str:
        """Where it is marked that an event was announced."""
        return f"waitcall:{{audit-{part}}}:announced:{event_id}"

    def all_deliveries(self) -> Sequence[str]:
        """Events on their way, in the audit stream's parts, so that one script writes both."""
        return _DELIVERIES

    def all_retries(self) -> Sequence[str]:
        """Deliveries by the instant at which they are tried again."""
        return _RETRIES

    def all_dead(self) -> Sequence[str]:
        """Deliveries that were given up."""
        return _DEAD

    def audit(self, entry_hash: str) -> str:
        """The part of the audit stream for entries of nobody's number."""
        return _AUDIT[int(entry_hash[-1], 16) % AUDIT_PARTS]

    def all_audit(self) -> Sequence[str]:
        """All parts of the audit stream."""
        return _AUDIT

    def due(self, verification_id: str) -> str:
        """Where a verification's next deadline stands."""
        return _DUE[int(verification_id[-1], 16) % DUE_PARTS]

    def all_due(self) -> Sequence[str]:
        """All parts of the deadlines."""
        return _DUE

    def all_ready(self) -> Sequence[str]:
        """Where readiness writes, one beside each part of the deadlines."""
        return _READY

    def answer(self, client: str, route: str, key: str) -> str:
        """Where the answer to an Idempotency-Key is stored."""
        return f"waitcall:{{{self.hash_of('answer', client, route, key)}}}:answer"
