// Tests against a real service. The environment names it; without one they are skipped.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { maskIds, problems, verifyWebhook, Waitcall, type Verification, type WebhookEvent } from "waitcall";
import { suite } from "./suite.js";

const { WAITCALL_TEST_API: api, WAITCALL_TEST_KEY: key, WAITCALL_TEST_SIMULATOR: simulator } = process.env;
const { WAITCALL_TEST_WEBHOOK_PORT: port, WAITCALL_TEST_WEBHOOK_SECRETS: secrets = "" } = process.env;

async function control<Answer>(path: string, body?: object): Promise<Answer> {
  const response = await fetch(`${simulator}${path}`, {
    method: body ? "POST" : "GET",
    headers: { "Content-Type": "application/json" },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  assert.ok(response.ok, await response.clone().text());
  return (await response.json()) as Answer;
}

async function call(made: Verification): Promise<void> {
  await control("/dial", { cli: made.phoneNumber, did: made.call?.number });
}

async function code(made: Verification): Promise<string> {
  const phone = made.phoneNumber.replace("+", "");
  const { messages } = await control<{ messages: { text: string }[] }>(`/messages?phone=${phone}`);
  return (messages.at(-1)?.text ?? "").replaceAll(/\D/g, "");
}

describe("real service", { skip: api === undefined && "no service: make typescript-test" }, () => {
  const client = new Waitcall({ baseUrl: api ?? "http://127.0.0.1", apiKey: key ?? "none" });
  let last = 0;
  const nextNumber = (): string => `+7999556${String(last++).padStart(4, "0")}`;
  const events: WebhookEvent[] = [];
  const rejected: unknown[] = [];
  let arrived: (() => void) | undefined;
  const receiver = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      try {
        events.push(verifyWebhook(Buffer.concat(chunks), request.headers, secrets.split(" ")));
      } catch (error) {
        rejected.push(error);
      }
      response.writeHead(204).end();
      arrived?.();
    });
  });

  before(() => new Promise<void>((resolve) => void receiver.listen(Number(port), "127.0.0.1", resolve)));
  after(() => {
    receiver.closeAllConnections();
    receiver.close();
  });

  suite({ client, call, code, nextNumber });

  test("a call ends the waiting at once", async () => {
    const made = await client.start({ phoneNumber: nextNumber(), purpose: "login" });
    const began = performance.now();
    const waiting = client.waitUntilVerified(made.id, { timeoutSeconds: 20 });
    const reading = client.read(made.id, { waitSeconds: 20 });
    await call(made);
    assert.ok((await waiting).isVerified);
    assert.ok((await reading).isVerified);
    assert.ok(performance.now() - began < 10_000);
  });

  test("a wrong key, number and purpose throw their problems", async () => {
    const stranger = new Waitcall({ baseUrl: api ?? "", apiKey: "wrong" });
    await assert.rejects(stranger.read(`ver_${"0".repeat(64)}`), problems.Unauthenticated);
    await assert.rejects(client.start({ phoneNumber: "12", purpose: "login" }), problems.InvalidPhoneNumber);
    await assert.rejects(client.start({ phoneNumber: nextNumber(), purpose: "nothing" }), (error) => {
      assert.ok(error instanceof problems.ValidationFailed);
      assert.ok(error.errors["purpose"] && error.requestId);
      return true;
    });
  });

  test("lost answers order and redeem nothing twice", async () => {
    const sent: string[] = [];
    const losing = new Waitcall({
      baseUrl: api ?? "",
      apiKey: key ?? "",
      fetch: async (url, init) => {
        const response = await fetch(url, init);
        await response.clone().arrayBuffer();
        const step = `${init.method} ${maskIds(url)}`;
        sent.push(step);
        if (sent.filter((each) => each === step).length === 1) throw new TypeError("the answer was lost");
        return response;
      },
    });
    const made = await losing.start({ phoneNumber: nextNumber(), purpose: "login" });
    await call(made);
    assert.ok((await losing.read(made.id)).isVerified);
    assert.equal((await losing.consume(made.id, { purpose: "login" })).status, "consumed");
    assert.equal(sent.length, 6);
    type Entry = { endpoint?: string; fields?: { phone?: string } };
    const { ledger } = await control<{ ledger: Entry[] }>("/ledger");
    const phone = made.phoneNumber.replace("+", "");
    const orders = ledger.filter((each) => each.endpoint === "wait_call" && each.fields?.phone === phone);
    assert.equal(orders.length, 1);
  });

  test("the worker's webhooks are verified", { timeout: 30_000 }, async () => {
    const made = await client.start({ phoneNumber: nextNumber(), purpose: "login", reference: "hooked" });
    await call(made);
    await client.consume(made.id, { purpose: "login", reference: "hooked" });
    const mine = (): WebhookEvent[] => events.filter((each) => each.verificationId === made.id);
    while (mine().length < 2) await new Promise<void>((resolve) => void (arrived = resolve));
    assert.deepEqual(mine().map((each) => each.type).sort(), ["verification.consumed", "verification.verified"]);
    assert.deepEqual(new Set(mine().map((each) => each.reference)), new Set(["hooked"]));
    assert.deepEqual(rejected, []);
  });
});
