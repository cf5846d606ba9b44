"""Every key name. What belongs to one number shares one hash tag, and so one cluster slot.

``waitcall:{TAG}:latest``      id of the number's latest verification
``waitcall:{TAG}:v:RANDOM``    a verification's record
``waitcall:{TAG}:call:TS``     a call that was used
``waitcall:{TAG}:limit:...``   what was spent on the number
``waitcall:{HASH}:limit:...``  what was spent by a client, address, country or everybody
``waitcall:{HASH}:answer``     an answer stored under an Idempotency-Key
``waitcall:{due-N}:due``       ids by the instant at which time alone changes their records, in eight parts

TAG is a keyed hash of the number (96 bits), so no key name holds a number; a verification's id begins
with it, so that the id alone finds the slot.
"""

import hashlib
import hmac
import re
import secrets
from datetime import datetime

DUE_PARTS = 8
"""The deadlines are spread over a cluster's nodes."""

_ID = re.compile(r"ver_([0-9a-f]{24})([0-9a-f]{40})", re.ASCII)


class Keys:
    """Key names under one pepper."""

    def __init__(self, pepper: str) -> None:
        self._pepper = pepper.encode()

    def hash_of(self, *parts: str) -> str:
        """Keyed hash of some words, 96 bits in hexadecimal."""
        return self.long_hash_of("\x1f".join(parts).encode())[:24]

    def long_hash_of(self, content: bytes) -> str:
        """Keyed hash of anything, 256 bits in hexadecimal."""
        return hmac.new(self._pepper, content, hashlib.sha256).hexdigest()

    def new_id(self, number: str) -> str:
        """A verification id for a number, with 160 random bits: a secret even where its end is logged."""
        return f"ver_{self.hash_of('number', number)}{secrets.token_hex(20)}"

    def record(self, verification_id: str) -> str | None:
        """Where a verification lives; None for what is no id."""
        match = _ID.fullmatch(verification_id)
        return f"waitcall:{{{match[1]}}}:v:{match[2]}" if match else None

    def latest(self, number: str) -> str:
        """Where the id of a number's latest verification lives."""
        return f"waitcall:{{{self.hash_of('number', number)}}}:latest"

    def call(self, number: str, at: datetime) -> str:
        """Where the use of a call is marked."""
        return f"waitcall:{{{self.hash_of('number', number)}}}:call:{int(at.timestamp())}"

    def limit(self, scope: str, subject: str, count: int, period_seconds: int) -> str:
        """Where a limit counts. A number's own limits live with the number."""
        tag = self.hash_of(scope, subject)
        return f"waitcall:{{{tag}}}:limit:{scope}:{count}:{period_seconds}"

    def due(self, verification_id: str) -> str:
        """Where a verification's next deadline stands."""
        return self.all_due()[int(verification_id[-1], 16) % DUE_PARTS]

    def all_due(self) -> list[str]:
        """All parts of the deadlines."""
        return [f"waitcall:{{due-{part}}}:due" for part in range(DUE_PARTS)]

    def answer(self, client: str, route: str, key: str) -> str:
        """Where the answer to an Idempotency-Key is stored."""
        return f"waitcall:{{{self.hash_of('answer', client, route, key)}}}:answer"
