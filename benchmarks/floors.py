"""What a request costs at least on this stack: the floors that benchmarks/endpoints.py measures against.

Served by the same gunicorn under the same configuration file, on the same Redis and the same provider.
"""

import os
from typing import Any

import phonenumbers
import urllib3
from flask import Flask, Response, request
from marshmallow import Schema, fields, validate
from redis import Redis

SCRIPT = """
local stored = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return stored
"""
KEPT_MS = 60_000


class Asked(Schema):
    """As many fields as a create has."""

    phone_number = fields.String(required=True, validate=validate.Length(1, 40))
    purpose = fields.String(required=True, validate=validate.Length(1, 64))
    reference = fields.String(validate=validate.Length(1, 128))


class Answered(Schema):
    """As many as its answer."""

    phone_number = fields.String()
    purpose = fields.String()
    reference = fields.String()
    status = fields.String()
    call = fields.Dict()


def create_app() -> Flask:
    """F1 nothing, F2 one GET, F3 marshmallow, phonenumbers and one script; the bare ones are at the end."""
    app = Flask("floors", static_folder=None)
    redis = Redis.from_url(os.environ["WAITCALL_REDIS_URL"], protocol=2)
    script: Any = redis.register_script(SCRIPT)
    asked, answered = Asked(), Answered()

    @app.get("/f1")
    def nothing() -> Response:
        return Response('{"status":"ok"}', content_type="application/json")

    @app.get("/f2")
    def one_get() -> Response:
        return Response(redis.get("floor") or "{}", content_type="application/json")

    @app.post("/f3")
    def one_script() -> Any:
        values: Any = asked.load(request.get_json())
        number = phonenumbers.parse(values["phone_number"], None)
        if not phonenumbers.is_valid_number(number):
            return {"code": "invalid_phone_number"}, 422
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        script(keys=[f"floor:{e164}"], args=[request.get_data(), KEPT_MS])
        call = {"number": e164, "uri": f"tel:{e164}"}
        return answered.dump(values | {"status": "pending", "call": call}), 201

    _bare(app, redis)
    return app


def _bare(app: Flask, redis: Redis) -> None:
    """Our requests with nothing in them: as many steps at Redis, the provider asked, and an answer."""
    step: Any = redis.register_script("return redis.call('GET', KEYS[1])")
    provider = urllib3.PoolManager(maxsize=64, retries=False)
    url = f"{os.environ['WAITCALL_SMSC_URLS']}/wait_call.php"
    account = {"apikey": os.environ["WAITCALL_SMSC_APIKEY"], "fmt": "3"}

    @app.post("/bare_create")
    def bare_create() -> Any:
        values: Any = request.get_json()
        for _ in range(3):
            step(keys=["floor"])
        fields = account | {"phone": values["phone_number"].lstrip("+")}
        answer = provider.request("POST", url, fields=fields, encode_multipart=False, timeout=10)
        given = b'"phone"' in answer.data
        return Response(answer.data, status=201 if given else 502, content_type="application/json")

    @app.get("/bare_callback")
    def bare_callback() -> Response:
        for _ in range(2):
            step(keys=["floor"])
        return Response("OK", content_type="text/plain")

    @app.post("/bare_consume")
    def bare_consume() -> Response:
        request.get_json()
        step(keys=["floor"])
        return Response("{}", content_type="application/json")


app = create_app() if "WAITCALL_REDIS_URL" in os.environ else None
