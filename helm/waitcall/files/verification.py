"""Test of the release: create, call through the simulator, read, consume. Exits with 0 if the proof was consumed."""

import json
import os
import secrets
import socket
import sys
import time
import urllib.error
import urllib.request
import uuid
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 40
REACH_SECONDS = 30
RANDOM_DIGITS = 4


def reach(url: str) -> None:
    """Wait until the server accepts connections.

    A network policy admits the address of a new pod only after a moment.

    Raises:
        OSError: it accepted none for 30 s.
    """
    where = urlsplit(url)
    deadline = time.monotonic() + REACH_SECONDS
    while True:
        try:
            socket.create_connection((where.hostname, where.port), timeout=2).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise
            print(f"{url} is not reached yet: {error}", flush=True)
            time.sleep(0.5)
        else:
            return


def ask(method: str, url: str, body: object = None) -> dict:
    """Send a request with a JSON body and return the JSON of the answer.

    Raises:
        urllib.error.HTTPError: for an answer other than 2xx.
    """
    headers = {"Authorization": f"Bearer {os.environ['API_KEY']}", "Content-Type": "application/json"}
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        return json.load(response)


def verify(api: str, simulator: str, number: str) -> bool:
    """Return whether the verification ended as it should. Without a simulator no call can come, so it is only canceled."""
    proof = {"purpose": os.environ["PURPOSE"], "reference": f"helm-test-{uuid.uuid4()}"}
    made = ask("POST", f"{api}/v1/verifications", proof | {"phone_number": number})
    url = f"{api}/v1/verifications/{made['id']}"
    if not simulator:
        canceled = ask("DELETE", url)["status"]
        print(f"created and {canceled}; without the simulator there is no call to test")
        return canceled == "canceled"
    ask("POST", f"{simulator}/dial", {"cli": number, "did": made["call"]["number"]})
    status = ask("GET", f"{url}?wait=30")["status"]
    if status != "verified":
        print(f"not verified: {status}")
        return False
    print(f"consumed: {ask('POST', f'{url}/consume', proof)['status']}")
    return True


def main() -> int:
    """Run the test. A failed request is told with its answer."""
    api, simulator = os.environ["API"], os.environ.get("SIMULATOR", "")
    number = os.environ["PHONE_NUMBER"]
    if simulator:
        # A number that was just verified has to wait. Without the simulator the number must be the operator's.
        number = number[:-RANDOM_DIGITS] + "".join(secrets.choice("0123456789") for _ in range(RANDOM_DIGITS))
    try:
        for url in filter(None, (api, simulator)):
            reach(url)
        return 0 if verify(api, simulator, number) else 1
    except urllib.error.HTTPError as error:
        print(f"{error.url} answered {error.code}: {error.read().decode(errors='replace')}")
    except OSError as error:
        print(f"no answer: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
