"""Writer of .env with new secrets for compose.yaml: ``python -m development.compose_env``. It prints the API key of ``web``."""

import hashlib
import secrets
import sys
from pathlib import Path

ENV = Path(__file__).resolve().parent.parent / ".env"


def environment(key: str) -> dict[str, str]:
    """Return the variables that compose.yaml needs, with new secrets."""
    return {
        "SMSC_APIKEY": secrets.token_hex(16),
        "CALLBACK_SECRET": secrets.token_hex(16),
        "KEY_PEPPER": secrets.token_hex(32),
        "API_KEYS": f"web={hashlib.sha256(key.encode()).hexdigest()}",
    }


def main() -> None:
    """Write .env, and print the API key. Refuse if .env exists, because running containers use its secrets."""
    if ENV.exists():
        sys.exit(".env exists already. Remove it to make new secrets.")
    key = secrets.token_urlsafe(24)
    lines = [f"{name}={value}" for name, value in environment(key).items()]
    ENV.touch(mode=0o600)
    ENV.write_text("\n".join([*lines, ""]), encoding="utf-8")
    sys.stdout.write(f"Authorization: Bearer {key}\n")


if __name__ == "__main__":
    main()
