"""Writer of .env with new secrets and of the policy for compose.yaml: ``python -m development.compose_env``."""

import hashlib
import os
import secrets
import sys
from base64 import b64encode
from pathlib import Path

from development.ports import moved
from development.processes import StartFailed

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = {
    "API_PORT": 8080,
    "PAGES_PORT": 8081,
    "HANDSET_PORT": 8082,
    "LOGIN_PORT": 8085,
    "RESET_PORT": 8086,
    "PROMETHEUS_PORT": 9095,
    "GRAFANA_PORT": 3000,
}
"""Ports of this machine that lead into the containers."""
NEXT = """\
Wrote .env with new secrets. WEB_KEY in it is the API key of the client `web`.

Next: docker compose up --build
Then: http://127.0.0.1:{HANDSET_PORT}/  (a phone to call with, which leads to both examples)
"""


def environment() -> dict[str, str]:
    """Return the variables that compose.yaml needs, with new secrets."""
    key = secrets.token_urlsafe(24)
    return {
        "WEB_KEY": key,
        "API_KEYS": f"web={hashlib.sha256(key.encode()).hexdigest()}",
        "SMSC_APIKEY": secrets.token_hex(16),
        "CALLBACK_SECRET": secrets.token_hex(16),
        "KEY_PEPPER": secrets.token_hex(32),
        "WEBHOOK_SECRET": f"whsec_{b64encode(secrets.token_bytes(32)).decode()}",
    }


def policy_of_examples(login: str, webhooks: str) -> str:
    """Return the policy of the examples.

    Args:
        login: URL of the login example as browsers reach it.
        webhooks: the same as waitcall reaches it.
    """
    text = (ROOT / "examples" / "policy.toml").read_text(encoding="utf-8")
    return text.replace("LOGIN", login).replace("WEBHOOKS", webhooks)


def main(folder: Path = ROOT) -> None:
    """Write .env and the policy, and print the next step. Refuse if .env exists, because running containers use its secrets."""
    env, policy = folder / ".env", folder / ".compose" / "policy.toml"
    if env.exists():
        sys.exit(".env exists already. Remove it to make new secrets.")
    try:
        ports = moved(PUBLISHED, os.environ.get("PORT_BASE"))
    except StartFailed as error:
        sys.exit(str(error))
    policy.parent.mkdir(exist_ok=True)
    policy.write_text(
        policy_of_examples(f"http://127.0.0.1:{ports['LOGIN_PORT']}", "http://login:8085"), encoding="utf-8"
    )
    env.touch(mode=0o600)
    env.write_text(
        "".join(f"{name}={value}\n" for name, value in (environment() | ports).items()), encoding="utf-8"
    )
    sys.stdout.write(NEXT.format(**ports))


if __name__ == "__main__":
    main()
