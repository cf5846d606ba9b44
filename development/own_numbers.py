"""Own numbers of the embedded stack: settings of the service, and what the simulator needs to report their calls."""

import base64
import secrets
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ACCOUNT_SID = "AC00112233445566778899aabbccddeeff"


@dataclass(frozen=True)
class OwnNumbers:
    """Settings by their names, the simulator's options, and the URLs of the handlers. All are empty without own numbers."""

    settings: dict[str, str] = field(default_factory=dict, repr=False)
    options: tuple[str, ...] = field(default=(), repr=False)
    callbacks: tuple[str, ...] = ()


def own_numbers_of(policy: Path, callback: str) -> OwnNumbers:
    """Make fresh secrets for the dialects whose numbers a policy names.

    Args:
        policy: path of the policy. A file that cannot be read is left to the service, which names the mistake.
        callback: URL of the service's public listener.
    """
    try:
        named = tomllib.loads(policy.read_text(encoding="utf-8")).get("own_numbers", {})
    except (OSError, tomllib.TOMLDecodeError):
        return OwnNumbers()
    seed = secrets.token_bytes(32)
    public_key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    signed_with = {
        "sip": secrets.token_urlsafe(32),
        "twilio": secrets.token_hex(16),
        "telnyx": base64.b64encode(seed).decode(),
    }
    own = {
        "sip": {"WAITCALL_SIP_SECRETS": signed_with["sip"]},
        "twilio": {
            "WAITCALL_TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "WAITCALL_TWILIO_AUTH_TOKENS": signed_with["twilio"],
            "WAITCALL_TWILIO_URL": f"{callback}/callbacks/twilio",
        },
        "telnyx": {"WAITCALL_TELNYX_PUBLIC_KEYS": base64.b64encode(public_key).decode()},
    }
    # The simulator's numbers at Telnyx are of a TeXML application, which needs no API key.
    kinds = {"sip": "sip", "twilio": "twilio", "telnyx": "texml"}
    settings: dict[str, str] = {}
    options: list[str] = []
    callbacks: list[str] = []
    for dialect, kind in kinds.items():
        if numbers := named.get(dialect):
            settings |= own[dialect]
            url = f"{callback}/callbacks/{dialect}"
            callbacks.append(url)
            options += ["--own", ";".join((kind, ",".join(numbers), url, signed_with[dialect], ACCOUNT_SID))]
    return OwnNumbers(settings, tuple(options), tuple(callbacks))
