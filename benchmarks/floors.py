"""What a request costs at least on this stack: the floors that benchmarks/ratios.py measures against.

Served by the same gunicorn under the same configuration file, on the same Redis.
"""

import os
from typing import Any

import phonenumbers
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
    """F1 nothing, F2 one GET, F3 marshmallow, phonenumbers and one script."""
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

    return app


app = create_app() if "WAITCALL_REDIS_URL" in os.environ else None
