// Tests that hold the double and the real service to the same promises.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Ended, problems, StillPending, type StartOptions, type Verification, type Waitcall } from "waitcall";

/** A client of the real service or of the double, and a person with a phone. */
export interface Stage {
  readonly client: Waitcall;
  call(made: Verification): Promise<void> | void;
  code(made: Verification): Promise<string> | string;
  nextNumber(): string;
}

export const UNKNOWN = `ver_${"0".repeat(64)}`;
const PROOF = { purpose: "login", reference: "flow" };

export function suite(stage: Stage): void {
  const { client } = stage;
  const begin = (fields: Partial<StartOptions> = {}): Promise<Verification> =>
    client.start({ phoneNumber: stage.nextNumber(), ...PROOF, ...fields });

  test("a call verifies and is redeemed once", async () => {
    const made = await begin({ locale: "ru", metadata: { a: "b" }, windowSeconds: 60 });
    assert.deepEqual([made.status, made.created, made.isPending], ["pending", true, true]);
    assert.equal(made.call?.uri, `tel:${made.call?.number}`);
    assert.deepEqual({ ...made.metadata }, { a: "b" });
    assert.equal(made.nextChannel, "code");
    assert.equal(made.expiresAt.getTime() - made.createdAt.getTime(), 60_000);

    await stage.call(made);
    const verified = await client.waitUntilVerified(made.id, { timeoutSeconds: 10 });

    assert.deepEqual([verified.isVerified, verified.reason], [true, "call_matched"]);
    assert.ok(verified.verifiedAt instanceof Date);
    const consumed = await client.consume(made.id, PROOF);
    assert.equal(consumed.status, "consumed");
    await assert.rejects(client.consume(made.id, PROOF), (error) => {
      assert.ok(error instanceof problems.AlreadyConsumed);
      assert.deepEqual([error.status, error.code], [409, "already_consumed"]);
      return true;
    });
  });

  test("a proof is bound to what it was made for", async () => {
    const made = await begin();
    await assert.rejects(client.consume(made.id, PROOF), problems.NotVerified);
    await stage.call(made);
    await assert.rejects(client.consume(made.id, { ...PROOF, purpose: "other" }), problems.PurposeMismatch);
    await assert.rejects(client.consume(made.id, { ...PROOF, reference: "another" }), problems.ReferenceMismatch);
    await assert.rejects(client.consume(made.id, { purpose: "login" }), problems.ReferenceMismatch);
    await assert.rejects(client.consume(made.id, { ...PROOF, result: "0".repeat(32) }), problems.ResultMismatch);
    assert.equal((await client.consume(made.id, PROOF)).status, "consumed");
  });

  test("the same requester gets the live one, and others are told to wait", async () => {
    const made = await begin();
    const again = await begin({ phoneNumber: made.phoneNumber });
    assert.deepEqual([again.id, again.created], [made.id, false]);
    await assert.rejects(begin({ phoneNumber: made.phoneNumber, reference: "another" }), (error) => {
      assert.ok(error instanceof problems.VerificationInProgress);
      assert.ok(error.retryAfter !== undefined && error.retryAfter > 0 && error.retryAfter <= 900);
      return true;
    });
  });

  test("two starts with one idempotency key make one verification", async () => {
    const phoneNumber = stage.nextNumber();
    const asked = { phoneNumber, purpose: "login", idempotencyKey: `key-${phoneNumber}` };
    assert.equal((await client.start(asked)).id, (await client.start(asked)).id);
  });

  test("a fallback to a code verifies", async () => {
    const made = await begin();
    const moved = await client.fallBack(made.id);
    assert.deepEqual([moved.channel, moved.call, moved.assurance], ["code", null, "roundtrip"]);
    assert.deepEqual([moved.code?.digits, moved.code?.attemptsLeft, moved.code?.sendsLeft], [6, 5, 3]);
    await assert.rejects(client.resend(made.id), (error) => {
      assert.ok(error instanceof problems.RateLimited);
      assert.ok(error.retryAfter !== undefined && error.retryAfter > 0 && error.retryAfter <= 30);
      return true;
    });
    assert.equal((await client.read(made.id, { waitSeconds: 20, channel: "call" })).channel, "code");
    const code = await stage.code(made);
    await assert.rejects(client.check(made.id, another(code)), (error) => {
      assert.ok(error instanceof problems.CodeMismatch);
      assert.deepEqual(error.errors, { code: ["Wrong. Attempts left: 4."] });
      return true;
    });
    assert.ok((await client.check(made.id, code)).isVerified);
    await assert.rejects(client.check(made.id, another(code)), problems.AlreadyVerified);
    assert.equal((await client.consume(made.id, PROOF)).status, "consumed");
  });

  test("wrong codes are counted", async () => {
    const made = await begin({ channel: "code" });
    const code = await stage.code(made);
    for (let attempt = 1; attempt <= 5; attempt++) {
      await assert.rejects(client.check(made.id, another(code)), problems.CodeMismatch);
    }
    await assert.rejects(client.check(made.id, code), problems.AttemptsSpent);
    assert.equal((await client.read(made.id)).reason, "attempts_spent");
  });

  test("a request that does not apply throws its problem", async () => {
    const made = await begin();
    await assert.rejects(client.check(made.id, "000000"), problems.WrongChannel);
    await assert.rejects(client.resend(made.id), problems.WrongChannel);
    await client.fallBack(made.id, { channel: "code" });
    await assert.rejects(client.fallBack(made.id, { channel: "call" }), problems.NoFallback);
    assert.equal((await client.cancel(made.id)).status, "canceled");
    assert.equal((await client.cancel(made.id)).status, "canceled");
    await assert.rejects(client.fallBack(made.id), problems.NoFallback);
    await assert.rejects(client.fallBack(made.id, { channel: "call" }), problems.NotPending);
    await assert.rejects(client.check(made.id, "000000"), problems.NotPending);
    await assert.rejects(client.consume(made.id, PROOF), problems.NotVerified);
    await assert.rejects(client.read(UNKNOWN), problems.NotFound);
    await assert.rejects(client.cancel(UNKNOWN), problems.NotFound);
  });

  test("waiting ends with the verification or with the time", async () => {
    const made = await begin();
    await assert.rejects(client.waitUntilVerified(made.id, { timeoutSeconds: 0.2 }), StillPending);
    await client.cancel(made.id);
    await assert.rejects(client.waitUntilVerified(made.id, { timeoutSeconds: 10 }), (error) => {
      assert.ok(error instanceof Ended);
      assert.deepEqual([error.verification.status, error.message], ["canceled", "canceled: by_client"]);
      return true;
    });
  });

  test("a hosted verification needs its result", async () => {
    const made = await begin({ returnUrl: "https://login.example.org/phone" });
    assert.match(made.hostedUrl ?? "", /\/p\//);
    await stage.call(made);
    await assert.rejects(client.consume(made.id, PROOF), problems.ResultMismatch);
  });
}

function another(code: string): string {
  return String((Number(code) + 1) % 10 ** 6).padStart(6, "0");
}
