import assert from "node:assert/strict";
import { test } from "node:test";
import { Webhook } from "standardwebhooks";
import { verifyWebhook, WebhookRejected, type WebhookHeaders } from "waitcall";
import { UNKNOWN } from "./suite.js";

const SECRET = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
const OTHER = "whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGg=";
const DATA = { id: UNKNOWN, status: "verified", reason: "call_matched", purpose: "login", reference: null };
const BODY = JSON.stringify({ type: "verification.verified", timestamp: "2026-01-01T12:00:00Z", data: DATA });

function signed(body: string, { secret = SECRET, ageSeconds = 0, id = "msg_1" } = {}): Record<string, string> {
  const at = new Date(Date.now() - ageSeconds * 1000);
  return {
    "Webhook-Id": id,
    "Webhook-Timestamp": String(Math.trunc(at.getTime() / 1000)),
    "Webhook-Signature": new Webhook(secret).sign(id, at, body),
  };
}

test("an event is read with the current and with the previous secret", () => {
  for (const secret of [SECRET, OTHER]) {
    const event = verifyWebhook(BODY, signed(BODY, { secret }), [SECRET, OTHER]);
    assert.deepEqual(event, {
      id: "msg_1",
      type: "verification.verified",
      at: new Date("2026-01-01T12:00:00Z"),
      verificationId: UNKNOWN,
      status: "verified",
      reason: "call_matched",
      purpose: "login",
      reference: null,
    });
  }
});

test("body and headers may come from fetch or from node:http", () => {
  const headers = signed(BODY);
  const lower = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  const forms: WebhookHeaders[] = [headers, new Headers(headers), { ...lower, "set-cookie": ["a"], host: undefined }];
  for (const form of forms) {
    for (const body of [BODY, Buffer.from(BODY), new TextEncoder().encode(BODY)]) {
      assert.equal(verifyWebhook(body, form, SECRET).verificationId, UNKNOWN);
    }
  }
});

test("a forged, old or malformed event is rejected", () => {
  const rejected: [string | Uint8Array, WebhookHeaders][] = [
    [`${BODY} `, signed(BODY)],
    [BODY, signed(BODY, { secret: OTHER })],
    [BODY, signed(BODY, { ageSeconds: 3600 })],
    [BODY, signed(BODY, { ageSeconds: -3600 })],
    [BODY, {}],
    [BODY, { ...signed(BODY), "Webhook-Id": "msg_2" }],
    [BODY, { ...signed(BODY), "Webhook-Signature": "v1" }],
    [BODY, { ...signed(BODY), "Webhook-Signature": "v1," }],
    [new Uint8Array([255, 254]), signed(BODY)],
    ["", signed("")],
    ["[]", signed("[]")],
    ["x", signed("x")],
  ];
  for (const [body, headers] of rejected) {
    assert.throws(() => verifyWebhook(body, headers, SECRET), WebhookRejected, String(body));
  }
});

test("a secret is required, and a malformed one is a mistake of the caller", () => {
  assert.throws(() => verifyWebhook(BODY, signed(BODY), []), TypeError);
  assert.throws(
    () => verifyWebhook(BODY, signed(BODY), "whsec_not base64"),
    (error) => error instanceof Error && !(error instanceof WebhookRejected) && !error.message.includes("not base64"),
  );
});
