"""Phone verification as a Flask developer would write it in a week, to compare the service with. It is never deployed.

It uses every library as its documentation says: Flask, marshmallow, phonenumbers, redis-py, requests, Flask-Limiter and
prometheus-client. It writes one log line for each request. It has none of what a first version would leave out: audit,
idempotency keys, long polls, contests, fallbacks, reconciliation, masking.
"""

import hashlib
import hmac
import json
import logging
import os
import secrets
import time
from typing import Any

import phonenumbers
import requests
from flask import Flask, Response, abort, g, jsonify, request
from flask_limiter import Limiter  # type: ignore[import-not-found]  # make bench-tools installs it
from marshmallow import Schema, ValidationError, fields, validate
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from redis import Redis

WINDOW_SECONDS = 900
RESULT_SECONDS = 300
KEPT_SECONDS = 3600
SKEW_SECONDS = 5

VERIFY = """
local document = redis.call('GET', KEYS[1])
if not document then return 0 end
local record = cjson.decode(document)
if record.status ~= 'pending' then return 0 end
record.status = 'verified'
record.verified_at = tonumber(ARGV[1])
redis.call('SET', KEYS[1], cjson.encode(record), 'KEEPTTL')
redis.call('DEL', KEYS[2])
return 1
"""
CONSUME = """
local record = cjson.decode(redis.call('GET', KEYS[1]))
if record.status ~= 'verified' or tonumber(ARGV[1]) > record.verified_at + tonumber(ARGV[2]) then return 0 end
record.status = 'consumed'
redis.call('SET', KEYS[1], cjson.encode(record), 'KEEPTTL')
return 1
"""

REQUESTS = Histogram("handwritten_request_seconds", "Duration of a request.", ["route", "status"])
VERIFICATIONS = Counter("handwritten_verifications_total", "Verifications by what happened.", ["event"])

log = logging.getLogger("handwritten")


class CreateSchema(Schema):
    """Body of a create."""

    phone_number = fields.String(required=True, validate=validate.Length(1, 40))
    purpose = fields.String(required=True, validate=validate.Length(1, 64))
    reference = fields.String(load_default=None, validate=validate.Length(1, 128))


class ConsumeSchema(Schema):
    """Body of a consume."""

    purpose = fields.String(required=True)
    reference = fields.String(load_default=None)


class VerificationSchema(Schema):
    """Verification in an answer of the API."""

    id = fields.String()
    status = fields.String()
    phone_number = fields.String()
    purpose = fields.String()
    reference = fields.String(allow_none=True)
    call_number = fields.String()
    created_at = fields.Integer()
    expires_at = fields.Integer()


def asked_number() -> str:
    asked = request.get_json(silent=True)
    return str(asked.get("phone_number")) if isinstance(asked, dict) else "none"


logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
app = Flask(__name__)
redis = Redis.from_url(os.environ["WAITCALL_REDIS_URL"], decode_responses=True)
verify, consume = redis.register_script(VERIFY), redis.register_script(CONSUME)
# Flask-Limiter takes the same URL, but has another scheme for a socket file.
storage = os.environ["WAITCALL_REDIS_URL"].replace("unix://", "redis+unix://")
limiter = Limiter(asked_number, app=app, storage_uri=storage, strategy="moving-window")
session = requests.Session()
create_schema, consume_schema, shown = CreateSchema(), ConsumeSchema(), VerificationSchema()
keys = dict(pair.split("=") for pair in os.environ["WAITCALL_API_KEYS"].split(","))
secret = os.environ["WAITCALL_CALLBACK_SECRETS"]


def found(verification_id: str) -> dict[str, Any]:
    document = redis.get(f"verification:{verification_id}")
    if document is None:
        abort(404)
    record: dict[str, Any] = json.loads(str(document))
    if record["status"] == "pending" and time.time() > record["expires_at"]:
        record["status"] = "expired"
    return record


@app.before_request
def begin() -> None:
    g.began = time.perf_counter()
    if not request.path.startswith("/v1/"):
        return
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    digest = hashlib.sha256(given.encode()).hexdigest()
    if not any(hmac.compare_digest(digest, known) for known in keys.values()):
        abort(401)


@app.after_request
def end(response: Response) -> Response:
    seconds = time.perf_counter() - g.began
    route = request.url_rule.rule if request.url_rule else "unmatched"
    REQUESTS.labels(route, str(response.status_code)).observe(seconds)
    log.info("%s %s %s %.1f ms", request.method, route, response.status_code, seconds * 1000)
    return response


@app.errorhandler(ValidationError)
def invalid(error: ValidationError) -> tuple[Response, int]:
    return jsonify(code="validation_failed", errors=error.messages), 422


@app.post("/v1/verifications")
@limiter.limit("1000 per hour")  # type: ignore[untyped-decorator]  # the library is not installed where types are checked
def create() -> tuple[Response, int]:
    asked: Any = create_schema.load(request.get_json())
    try:
        parsed = phonenumbers.parse(asked["phone_number"], "RU")
    except phonenumbers.NumberParseException:
        return jsonify(code="invalid_phone_number"), 422
    if not phonenumbers.is_valid_number(parsed):
        return jsonify(code="invalid_phone_number"), 422
    number = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    verification_id, now = f"ver_{secrets.token_hex(20)}", int(time.time())
    if not redis.set(f"number:{number}", verification_id, nx=True, ex=WINDOW_SECONDS):
        return jsonify(code="verification_in_progress"), 409
    try:
        ordered = session.post(
            f"{os.environ['WAITCALL_SMSC_URLS']}/wait_call.php",
            data={"apikey": os.environ["WAITCALL_SMSC_APIKEY"], "phone": number.lstrip("+"), "fmt": 3},
            timeout=10,
        ).json()
    except requests.RequestException:
        redis.delete(f"number:{number}")
        return jsonify(code="provider_unavailable"), 503
    if "phone" not in ordered:
        redis.delete(f"number:{number}")
        return jsonify(code="provider_error"), 502
    record = {
        "id": verification_id,
        "status": "pending",
        "phone_number": number,
        "purpose": asked["purpose"],
        "reference": asked["reference"] or "",
        "call_number": f"+{ordered['phone']}",
        "created_at": now,
        "expires_at": now + WINDOW_SECONDS,
    }
    redis.set(f"verification:{verification_id}", json.dumps(record), ex=KEPT_SECONDS)
    VERIFICATIONS.labels("started").inc()
    return jsonify(shown.dump(record)), 201


@app.get("/v1/verifications/<verification_id>")
def read(verification_id: str) -> Response:
    return jsonify(shown.dump(found(verification_id)))


@app.post("/v1/verifications/<verification_id>/consume")
def redeem(verification_id: str) -> tuple[Response, int]:
    proof: Any = consume_schema.load(request.get_json())
    record = found(verification_id)
    if (record["purpose"], record["reference"]) != (proof["purpose"], proof["reference"] or ""):
        return jsonify(code="reference_mismatch"), 409
    args = [int(time.time()), RESULT_SECONDS]
    if not consume(keys=[f"verification:{verification_id}"], args=args):
        return jsonify(code="not_verified"), 409
    VERIFICATIONS.labels("consumed").inc()
    return jsonify(shown.dump(record | {"status": "consumed"})), 200


@app.route("/callbacks/smsc", methods=["GET", "POST"])
def callback() -> tuple[str, int]:
    phone, ts = request.values.get("phone", ""), request.values.get("ts", "")
    digest = hashlib.sha1(f"{phone}:{ts}:{secret}".encode()).hexdigest()
    if not hmac.compare_digest(digest, request.values.get("sha1", "")):
        abort(403)
    number = f"+{phone}"
    verification_id = str(redis.get(f"number:{number}") or "")
    now = int(time.time())
    if not verification_id or int(ts) > now + SKEW_SECONDS:
        return "unmatched", 200
    if verify(keys=[f"verification:{verification_id}", f"number:{number}"], args=[now]):
        VERIFICATIONS.labels("verified").inc()
    return "ok", 200


@app.get("/metrics")
def metrics() -> Response:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


@app.get("/healthz")
def healthz() -> str:
    return "ok"
