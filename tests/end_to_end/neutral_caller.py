"""A login team's endpoint as docs/what-a-call-proves.md asks for it: one answer, one size, one time for everybody."""

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
"""A number of the pool that this caller was shown before."""


@dataclass
class NeutralCaller:
    """``create`` starts a verification and returns waitcall's status and body."""

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
            # Who is refused is shown a number all the same: what it was refused for is nobody's business.
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
    """The caller on a port of its own."""

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
