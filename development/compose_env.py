"""Writer of .env with new secrets for compose.yaml: ``python -m development.compose_env``. It prints the API key of ``web``."""

import hashlib
import os
import secrets
import sys
from pathlib import Path

from development.ports import moved
from development.processes import StartFailed

ENV = Path(__file__).resolve().parent.parent / ".env"
PUBLISHED = {"API_PORT": 8080, "HANDSET_PORT": 8082, "PROMETHEUS_PORT": 9095, "GRAFANA_PORT": 3000}
"""Ports of this machine that lead into the containers."""


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
    try:
        ports = moved(PUBLISHED, os.environ.get("PORT_BASE"))
    except StartFailed as error:
        sys.exit(str(error))
    lines = [f"{name}={value}" for name, value in (environment(key) | ports).items()]
    ENV.touch(mode=0o600)
    ENV.write_text("\n".join([*lines, ""]), encoding="utf-8")
    sys.stdout.write(f"Authorization: Bearer {key}\n")


if __name__ == "__main__":
    main()
