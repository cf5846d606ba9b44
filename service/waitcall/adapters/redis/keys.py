"""Names of all Redis keys, and how long they are kept. Keys of one number share a hash tag, and so a cluster slot.

``waitcall:{TAG}:latest``      id of the number's latest verification
``waitcall:{TAG}:v:RANDOM``    record of a verification
``waitcall:{TAG}:call:TS``     mark of a used call, TS in seconds since 1970; ``…:call:HASH`` of the id of a call to one of our
                               own numbers. It names the number's latest verification if a stronger report may follow
``waitcall:{TAG}:shown``       our own numbers that the subscriber was shown, by the time until which not again
``waitcall:{TAG}:texted``      mark that the number sent a text that looks like a call; ``…:texted:HASH`` for one text
``waitcall:{HASH}:limit:...``  uses that a limit counts, for a number, client, address, network, country or all
``waitcall:{HASH}:answer``     answer stored under an Idempotency-Key
``waitcall:{HASH}:conversion:...``  counts of numbers shown and called, for a country or prefix
``waitcall:{due-N}:due``       verification ids by deadline, in eight parts
``waitcall:{due-N}:ready``     value that the readiness probe writes; also ``…:set``, ``…:stream`` and ``…:hash``
``waitcall:{audit-N}:audit``   audit stream, in eight parts
``waitcall:{lists}:lists``     block and allow entries of operators
``waitcall:{audit-N}:deliveries``  events to deliver to endpoints; also ``…:retries`` and ``…:dead``
``waitcall:{audit-N}:announced:EVENT``  mark that an event was announced
``waitcall:{worker}:lease``    the leading worker and its term
``waitcall:{worker}:fence``    number of the last term
``waitcall:{worker}:inbox``    how far the provider's inbox was read
``waitcall:{orders-NAME}:order:ID``  verification id of a provider's order; ``waitcall:{orders-NAME}:ask`` orders by
                               the time of their next status query

TAG is a keyed hash of the number (96 bits), so no key name contains a number. A verification's id begins with the tag, so
its slot can be computed from the id alone, even if the pepper has changed.

While the pepper rotates, a second one is known too (docs/adr/0014). New values are written under the first. Values that
may be older are looked for under both.
"""

import hmac
import re
import secrets
from datetime import datetime, timedelta
from functools import lru_cache

from waitcall.domain.channel import ProviderOrder
from waitcall.domain.conversion import ConversionBudget
from waitcall.domain.limits import LimitCheck
from waitcall.domain.matching import InboundCall, skeleton
from waitcall.domain.numbers import earlier_forms, subscriber_of

DUE_PARTS = 8
"""Number of parts of the deadlines, which spread them over a cluster's nodes."""
AUDIT_PARTS = 8
"""Number of parts of the audit stream, which spread it over a cluster's nodes."""
DUE, READY = (
    tuple(f"waitcall:{{due-{part}}}:{name}" for part in range(DUE_PARTS)) for name in ("due", "ready")
)
"""Keys of all parts of the deadlines, and of the value that the readiness probe writes next to each."""
AUDIT, DELIVERIES, RETRIES, DEAD = (
    tuple(f"waitcall:{{audit-{part}}}:{name}" for part in range(AUDIT_PARTS))
    for name in ("audit", "deliveries", "retries", "dead")
)
"""Keys of all parts of the audit stream, the deliveries, the retries (sorted by the time of the next attempt) and the dead
letters. The keys of a part share a slot, so that one script can write them."""
LISTS = "waitcall:{lists}:lists"
LEASE = "waitcall:{worker}:lease"
FENCE = "waitcall:{worker}:fence"
INBOX = "waitcall:{worker}:inbox"


_PADDING = timedelta(seconds=10)
"""Extra time for which Redis keeps a value after it has no effect any more, so that Redis's clock decides nothing."""


def keep_ms(until: datetime, now: datetime) -> int:
    """Return how long Redis must keep a key that is needed until ``until``, in milliseconds."""
    return int((max(until - now, timedelta()) + _PADDING).total_seconds() * 1000)


def milliseconds(moment: datetime) -> int:
    """Return a time in milliseconds since 1970, rounded down."""
    return int(moment.timestamp() * 1000)


def order_key(order: ProviderOrder) -> str:
    """Return the key with the id of an order's verification. The order's id is not derived from a phone number."""
    return f"waitcall:{{orders-{order.provider}}}:order:{order.id}"


def orders_to_ask(provider: str) -> str:
    """Return the key of a provider's orders, sorted by the time of their next status query."""
    return f"waitcall:{{orders-{provider}}}:ask"


def due_key(verification_id: str) -> str:
    """Return the key of the part with a verification's deadline."""
    return DUE[int(verification_id[-1], 16) % DUE_PARTS]


ID_PREFIX_LENGTH = 28
"""Length of ``ver_`` and the tag at the beginning of an id. The rest of the id names the record."""

_ID = re.compile(r"ver_([0-9a-f]{24})([0-9a-f]{40})", re.ASCII)


def tag_of(verification_id: str) -> str:
    """Return the hash tag in a verification id.

    Raises:
        ValueError: it is not a verification id.
    """
    match = _ID.fullmatch(verification_id)
    if match is None:
        raise ValueError("This is not an id of this store.")
    return match[1]


class Keys:
    """Key names under one pepper.

    Attributes:
        hash_of: function that returns the keyed hash of some words, 96 bits as hexadecimal digits.
        others: key names under the other peppers, while the pepper rotates.
    """

    def __init__(self, pepper: str, *others: str) -> None:
        self._pepper = pepper.encode()
        # Each create hashes its client and country, and each request its number several times.
        self.hash_of = lru_cache(maxsize=2048)(self._hash_of)
        self.others = tuple(Keys(other) for other in others)

    def _hash_of(self, *parts: str) -> str:
        return self.long_hash_of("\x1f".join(parts).encode())[:24]

    def long_hash_of(self, content: bytes) -> str:
        """Return the keyed hash of any bytes, 256 bits as hexadecimal digits."""
        return hmac.digest(self._pepper, content, "sha256").hex()

    def new_id(self, number: str) -> str:
        """Return a new verification id for a number. It has 160 random bits, so it is secret even if its end is logged."""
        return f"ver_{self.tag(number)}{secrets.token_hex(20)}"

    def record(self, verification_id: str) -> str | None:
        """Return the key of a verification's record; None for a malformed id."""
        match = _ID.fullmatch(verification_id)
        return f"waitcall:{{{match[1]}}}:v:{match[2]}" if match else None

    def records(self, tag: str) -> str:
        """Return the beginning of the keys of a tag's records."""
        return f"waitcall:{{{tag}}}:v:"

    def tag(self, number: str) -> str:
        """Return the hash tag of a number's keys. Equivalent forms of a number have one tag."""
        return self.hash_of("number", subscriber_of(number))

    def earlier_tags(self, number: str) -> list[str]:
        """Return the tags under which an earlier version wrote the number; none for nearly all numbers."""
        return [self.hash_of("number", form) for form in earlier_forms(number)]

    def all_tags(self, number: str) -> list[str]:
        """Return every tag under which the number may be known, the present one first: of each pepper and each form."""
        tags = [
            tag for keys in (self, *self.others) for tag in (keys.tag(number), *keys.earlier_tags(number))
        ]
        return list(dict.fromkeys(tags))

    def latest(self, tag: str) -> str:
        """Return the key with the id of a number's latest verification, by the number's tag."""
        return f"waitcall:{{{tag}}}:latest"

    def call(self, tag: str, call: InboundCall) -> str:
        """Return the key that marks a call as used: by its id, or else by its second."""
        return f"waitcall:{{{tag}}}:call:{call.fingerprint or int(call.at.timestamp())}"

    def shown(self, tag: str) -> str:
        """Return the key of our own numbers that a subscriber was shown."""
        return f"waitcall:{{{tag}}}:shown"

    def texted(self, number: str, text: str | None = None) -> str:
        """Return the key that marks that a number sent a text that looks like a call; with ``text``, this very text."""
        return self.texted_as(subscriber_of(number), text)

    def all_texted(self, number: str, text: str | None = None) -> list[str]:
        """Return the keys of this mark under each pepper, and under the forms of the number of an earlier version."""
        forms = (subscriber_of(number), *earlier_forms(number))
        return [keys.texted_as(form, text) for keys in (self, *self.others) for form in forms]

    def texted_as(self, form: str, text: str | None) -> str:
        """Return the key of this mark for one form of a number."""
        place = f"waitcall:{{{self.hash_of('number', form)}}}:texted"
        return place if text is None else f"{place}:{self.hash_of('text', form, skeleton(text))}"

    def limit(self, limit_check: LimitCheck) -> str:
        """Return the key of a limit's uses."""
        scope, limit = limit_check.scope, limit_check.limit
        tag = limit_check.seal or self.hash_of(scope, limit_check.subject)
        return f"waitcall:{{{tag}}}:limit:{scope}:{limit.count}:{limit.period_seconds}"

    def conversion(self, budget: ConversionBudget, subject: str) -> str:
        """Return the key of the conversion guard's counts of a group."""
        group = budget.group
        return f"waitcall:{{{self.hash_of(group, subject)}}}:conversion:{group}:{budget.bucket_seconds}"

    def audit_part(self, number: str) -> int:
        """Return the index of the part with a number's audit entries and events."""
        return int(self.audited(subscriber_of(number))[-1], 16) % AUDIT_PARTS

    def audited(self, form: str) -> str:
        """Return the hash under which the audit stream keeps a form of a number."""
        return self.hash_of("audit-number", form)

    def announced(self, part: int, event_id: str) -> str:
        """Return the key that marks an event as announced."""
        return f"waitcall:{{audit-{part}}}:announced:{event_id}"

    def audit(self, entry_hash: str) -> str:
        """Return the key of the part for an audit entry without a number."""
        return AUDIT[int(entry_hash[-1], 16) % AUDIT_PARTS]

    def answer(self, client: str, route: str, key: str) -> str:
        """Return the key of the answer to an Idempotency-Key."""
        return f"waitcall:{{{self.hash_of('answer', client, route, key)}}}:answer"
