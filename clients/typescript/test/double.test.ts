import assert from "node:assert/strict";
import { test } from "node:test";
import { problems, StillPending, Unreachable } from "waitcall";
import { Double } from "waitcall/testing";
import { suite } from "./suite.js";

const PHONE = "+79991234567";
let last = 0;
const shared = new Double();

suite({
  client: shared.client(),
  call: (made) => shared.call(made.phoneNumber),
  code: (made) => shared.code(made.phoneNumber),
  nextNumber: () => `+7999555${String(last++).padStart(4, "0")}`,
});

test("the double loses, refuses and lets time pass", async () => {
  const double = new Double();
  const client = double.client();
  double.loseNext();
  const made = await client.start({ phoneNumber: PHONE, purpose: "login" });
  assert.deepEqual(double.requests, Array(2).fill({ method: "POST", path: "/v1/verifications" }));
  double.failNext("store_unavailable", 503);
  assert.ok((await client.read(made.id)).isPending);
  double.failNext("provider_unavailable", 503, { retryAfter: 60 });
  await assert.rejects(client.read(made.id), problems.ProviderUnavailable);
  double.call(PHONE);
  double.loseNext();
  assert.equal((await client.consume(made.id, { purpose: "login" })).status, "consumed");

  const returnUrl = "https://login.example.org/phone";
  const later = await client.start({ phoneNumber: PHONE, purpose: "login", returnUrl });
  double.call(PHONE);
  double.advance(300);
  const result = double.result(later.id);
  await assert.rejects(client.consume(later.id, { purpose: "login", result }), problems.Expired);
  assert.equal((await client.read(later.id)).status, "lapsed");
  const latest = await client.start({ phoneNumber: PHONE, purpose: "login" });
  double.advance(899.5);
  assert.equal((await client.read(latest.id)).expiresIn, 0);
  double.advance(0.5);
  assert.equal((await client.read(latest.id)).reason, "no_call");
  assert.throws(() => double.code(PHONE), /No code/);
});

test("a weak call leaves the verification pending until the next channel", async () => {
  const double = new Double({ now: new Date("2026-01-01T00:00:00Z") });
  const client = double.client();
  const made = await client.start({ phoneNumber: PHONE, purpose: "login" });
  assert.equal(made.weakCallAt, null);
  double.call(PHONE, { weak: true });
  const read = await client.read(made.id);
  assert.deepEqual([read.status, read.nextChannel], ["pending", "code"]);
  assert.equal(read.weakCallAt?.toISOString(), "2026-01-01T00:00:00.000Z");
  assert.equal((await client.fallBack(made.id)).weakCallAt, null);
});

test("a wait that is shorter than a second asks once", async () => {
  const double = new Double();
  const client = double.client();
  const made = await client.start({ phoneNumber: PHONE, purpose: "login" });
  await assert.rejects(client.waitUntilVerified(made.id, { timeoutSeconds: 0.2 }), StillPending);
  assert.equal(double.requests.length, 2);
});

test("a hosted verification of the double is redeemed with its result", async () => {
  const double = new Double();
  const client = double.client();
  const made = await client.start({ phoneNumber: PHONE, purpose: "login", returnUrl: "https://login.example.org/phone" });
  double.call(PHONE);
  const consumed = await client.consume(made.id, { purpose: "login", result: double.result(made.id) });
  assert.equal(consumed.status, "consumed");
});

test("a resent code counts, and there are four", async () => {
  const double = new Double();
  const client = double.client();
  const made = await client.start({ phoneNumber: PHONE, purpose: "login", channel: "code" });
  for (const seconds of [30, 60, 120]) {
    double.advance(seconds);
    await client.resend(made.id);
  }
  await assert.rejects(client.resend(made.id), problems.SendsSpent);
  assert.equal((await client.check(made.id, double.code(PHONE))).reason, "code_matched");
});

test("the double offers the channels that it was given", async () => {
  const double = new Double({ channels: ["text_in"], now: new Date("2026-01-01T00:00:00Z") });
  const made = await double.client().start({ phoneNumber: PHONE, purpose: "login" });
  assert.deepEqual([made.channel, made.nextChannel, made.call], ["text_in", null, null]);
  assert.match(made.textIn?.uri ?? "", /^sms:\+7/);
  assert.equal(made.expiresAt.toISOString(), "2026-01-01T00:15:00.000Z");
});

test("a check whose answer was lost is not sent again", async () => {
  const double = new Double();
  const client = double.client();
  const made = await client.start({ phoneNumber: PHONE, purpose: "login", channel: "code" });
  double.loseNext();
  await assert.rejects(client.check(made.id, double.code(PHONE)), (error) => {
    assert.ok(error instanceof Unreachable && error.sent);
    return true;
  });
  assert.equal(double.requests.length, 2);
});

test("a test number has its fixed outcome, and nobody is called", async () => {
  const outcomes = [
    ["verified", "call_matched"],
    ["expired", "no_call"],
    ["contested", "concurrent_request"],
    ["failed", "provider_error"],
  ] as const;
  for (const [outcome, reason] of outcomes) {
    const double = new Double({ testNumbers: { "+12025550101": { outcome, delaySeconds: 2 } } });
    const client = double.client();
    const made = await client.start({ phoneNumber: "+12025550101", purpose: "login" });
    double.call("+12025550101");
    assert.deepEqual([made.test, made.status, made.call?.number], [true, "pending", "+12025550101"]);
    assert.ok((await client.read(made.id)).isPending);
    double.advance(2);
    const ended = await client.read(made.id);
    assert.deepEqual([ended.status, ended.reason], [outcome, reason]);
    if (outcome === "contested") await assert.rejects(client.consume(made.id, { purpose: "login" }), problems.Contested);
  }
});

test("a test number takes its fixed code only", async () => {
  const double = new Double({ testNumbers: { "+12025550101": { outcome: "verified", code: "000123" } } });
  const client = double.client();
  const made = await client.start({ phoneNumber: "+12025550101", purpose: "login", channel: "code" });
  assert.throws(() => double.code("+12025550101"), /No code/);
  double.advance(60);
  await assert.rejects(client.check(made.id, "000124"), problems.CodeMismatch);
  assert.deepEqual((await client.check(made.id, "000123")).reason, "code_matched");
  const real = await client.start({ phoneNumber: PHONE, purpose: "login" });
  assert.equal(real.test, false);
});
