"""Endpoint of a client that does not reveal anything about a number, as docs/what-a-call-proves.md demands.

The answer, its size and its time are equal for all numbers.
"""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from flask import Flask, jsonify, request
from werkzeug.serving import make_server

ANSWER_AFTER_SECONDS = 2.0
DECOY = {"number": "+79585550100", "display": "+7 958 555-01-00", "uri": "tel:+79585550100"}
"""Number of the provider's pool that the client has from an earlier answer."""


@dataclass
class NeutralCaller:
    """Client whose ``create`` starts a verification and returns waitcall's status and body."""

    create: Callable[[str, str], tuple[int, dict[str, Any]]]
    took: list[float] = field(default_factory=list)

    def app(self) -> Flask:
        app = Flask("neutral")

        @app.post("/reset")
        def reset():
            began = time.monotonic()
            session = secrets.token_urlsafe(24)
            status, body = self.create(request.get_json()["phone_number"], session)
            self.took.append(time.monotonic() - began)
            # A refused number gets a decoy, so that the answer does not reveal the refusal.
            call = body["call"] if status in (200, 201) and body.get("call") else DECOY
            answer = jsonify(
                message="Call this number from your phone. If nothing happens in ten minutes, try another way.",
                call=call,
            )
            answer.set_cookie("session", session, httponly=True)
            time.sleep(max(began + ANSWER_AFTER_SECONDS - time.monotonic(), 0))
            return answer

        return app


class Serving:
    """HTTP server that runs the endpoint on a free port."""

    def __init__(self, caller: NeutralCaller) -> None:
        self._server = make_server("127.0.0.1", 0, caller.app(), threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
