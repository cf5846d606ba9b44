"""Sign and check requests with the packages of Twilio and Telnyx. Read one JSON object, and print one.

The argument is the folder that holds the packages.
"""

import base64
import json
import sys
from typing import Any

# Behind the standard library, because one of the packages may bring a module named typing.
sys.path.append(sys.argv[1])

from nacl.signing import SigningKey  # type: ignore[import-not-found]  # from make provider-clients
from twilio.request_validator import RequestValidator  # type: ignore[import-not-found]  # as above


def twilio(asked: dict[str, Any]) -> list[Any]:
    """Return Twilio's signature of some parameters, and whether its package accepts ours."""
    validator = RequestValidator(asked["token"])
    signature = validator.compute_signature(asked["url"], asked["fields"])
    return [signature, validator.validate(asked["url"], asked["fields"], asked["signature"])]


def telnyx(asked: dict[str, Any]) -> list[Any]:
    """Return a signature by the library that Telnyx's package checks with, and whether the package accepts ours."""
    # Four seconds of CPU, so only if it is used.
    from telnyx.lib.webhook_verification import (  # type: ignore[import-not-found]  # noqa: PLC0415
        WebhookVerificationError,
        verify_webhook_signature,
    )

    key = SigningKey(base64.b64decode(asked["seed"]))
    signed = key.sign(f"{asked['timestamp']}|{asked['body']}".encode()).signature
    headers = {
        "telnyx-signature-ed25519": asked["signature"],
        "telnyx-timestamp": str(asked["timestamp"]),
    }
    try:
        verify_webhook_signature(asked["body"], headers, base64.b64encode(bytes(key.verify_key)).decode())
    except WebhookVerificationError:
        accepted = False
    else:
        accepted = True
    return [base64.b64encode(signed).decode(), accepted]


def main() -> None:
    """Answer all requests."""
    asked = json.load(sys.stdin)
    print(json.dumps({"twilio": [*map(twilio, asked["twilio"])], "telnyx": [*map(telnyx, asked["telnyx"])]}))


if __name__ == "__main__":
    main()
