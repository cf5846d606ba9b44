import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { inspect } from "node:util";
import { maskIds, Problem, problems, Unreachable, Waitcall, WaitcallError, type WaitcallOptions } from "waitcall";
import { Double } from "waitcall/testing";
import { UNKNOWN } from "./suite.js";

const KEY = "key-that-nobody-may-see";
const UNAVAILABLE = { code: "store_unavailable", status: 503, detail: "down" };

const CREATED = {
  ...{ id: `ver_${"9b".repeat(32)}`, status: "pending", reason: null, purpose: "login", reference: "secret-reference" },
  ...{ phone_number: "+79991234567", channel: "call", assurance: "asserted", expires_in: 900, a_newer_field: [1] },
  ...{ created_at: "2026-01-01T00:00:00Z", expires_at: "2026-01-01T00:15:00Z" },
  call: { number: "+79585551234", display: "+7 958 555-12-34", uri: "tel:+79585551234" },
};

type Answer = (request: IncomingMessage, response: ServerResponse, number: number) => void;

/** Starts a server that answers as told, and returns its client and the requests that it got. */
async function serving(
  context: TestContext,
  answer: Answer,
  options: Partial<WaitcallOptions> = {},
): Promise<{ client: Waitcall; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => answer(request, response, requests.push(request)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { client: new Waitcall({ baseUrl, apiKey: KEY, ...options }), requests };
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "Content-Type": "application/problem+json" });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

test("what fails for a moment is sent again with the same key and body", async (context) => {
  const bodies: string[] = [];
  const { client, requests } = await serving(context, (request, response, number) => {
    request.on("data", (chunk) => bodies.push(String(chunk)));
    request.on("end", () => {
      if (number === 1) response.destroy();
      else if (number === 2) send(response, 503, UNAVAILABLE);
      else send(response, 201, CREATED);
    });
  });
  const made = await client.start({ phoneNumber: "+79991234567", purpose: "login" });
  assert.equal(made.created, true);
  assert.equal(requests.length, 3);
  assert.equal(new Set(requests.map((each) => each.headers["idempotency-key"])).size, 1);
  assert.match(String(requests[0]?.headers["idempotency-key"]), /^[0-9a-f-]{36}$/);
  assert.deepEqual(new Set(bodies), new Set(['{"phone_number":"+79991234567","purpose":"login"}']));
  assert.equal(requests[0]?.headers.authorization, `Bearer ${KEY}`);
});

test("a short retry_after is obeyed, and a long one is thrown at once", async (context) => {
  let retryAfter = 1;
  const times: number[] = [];
  const { client, requests } = await serving(context, (_, response) => {
    times.push(performance.now());
    send(response, 503, { ...UNAVAILABLE, retry_after: retryAfter });
  }, { attempts: 2 });
  await assert.rejects(client.read(UNKNOWN), problems.StoreUnavailable);
  assert.ok((times[1] ?? 0) - (times[0] ?? 0) >= 990);
  retryAfter = 6;
  await assert.rejects(client.read(UNKNOWN), (error) => error instanceof Problem && error.retryAfter === 6);
  assert.equal(requests.length, 3);
});

test("a refusal is thrown at once", async (context) => {
  const { client, requests } = await serving(context, (_, response) =>
    send(response, 422, { code: "validation_failed", detail: "x", errors: { purpose: ["no"] }, request_id: "r1" }),
  );
  await assert.rejects(client.start({ phoneNumber: "1", purpose: "x" }), (error) => {
    assert.ok(error instanceof problems.ValidationFailed);
    assert.deepEqual([error.errors, error.requestId, error.name], [{ purpose: ["no"] }, "r1", "ValidationFailed"]);
    return true;
  });
  assert.equal(requests.length, 1);
});

test("an unknown code is a problem, too", async (context) => {
  const { client } = await serving(context, (_, response) => send(response, 418, { code: "constructor" }));
  await assert.rejects(client.read(UNKNOWN), (error) => {
    assert.ok(error instanceof Problem && error.constructor === Problem);
    assert.deepEqual([error.code, error.status], ["constructor", 418]);
    return true;
  });
});

test("an answer that is not from waitcall is unreachable", async (context) => {
  let status = 0;
  let body = "";
  const { client } = await serving(context, (_, response) => send(response, status, body), { attempts: 1 });
  for (status of [200, 302, 404, 502]) {
    for (body of ["", "[]", "{}", "null", "<html>", '{"id": 1}', '{"detail": "x"}']) {
      await assert.rejects(client.read(UNKNOWN), Unreachable);
    }
  }
});

test("a check is sent again only if it certainly did not arrive", async (context) => {
  const { client, requests } = await serving(context, (_, response) => response.destroy());
  await assert.rejects(client.check(UNKNOWN, "012345"), Unreachable);
  assert.equal(requests.length, 1);

  let tries = 0;
  const fetch = async (): Promise<Response> => {
    tries += 1;
    throw new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } });
  };
  const away = new Waitcall({ baseUrl: "http://127.0.0.1", apiKey: KEY, fetch });
  await assert.rejects(away.check(UNKNOWN, "012345"), (error) => error instanceof Unreachable && !error.sent);
  assert.equal(tries, 3);
});

test("a service that is not there is unreachable, and the request was not sent", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const client = new Waitcall({ baseUrl: `http://127.0.0.1:${port}`, apiKey: KEY, attempts: 2 });
  await assert.rejects(client.read(UNKNOWN), (error) => {
    assert.ok(error instanceof Unreachable);
    assert.deepEqual([error.message, error.sent], ["ECONNREFUSED", false]);
    return true;
  });
});

test("an attempt has its timeout, and all attempts have a deadline", async (context) => {
  const options = { timeoutSeconds: 0.2, deadlineSeconds: 0.5, attempts: 100 };
  const { client, requests } = await serving(context, () => undefined, options);
  const began = performance.now();
  await assert.rejects(client.read(UNKNOWN), (error) => error instanceof Unreachable && error.message === "timeout");
  assert.ok(requests.length >= 2);
  assert.ok(performance.now() - began < 3000);
});

test("a body that stops half-way ends with the timeout", async (context) => {
  const { client } = await serving(context, (_, response) => {
    response.writeHead(200);
    response.write("{");
  }, { timeoutSeconds: 0.2, attempts: 1 });
  await assert.rejects(client.read(UNKNOWN), (error) => error instanceof Unreachable && error.message === "timeout");
});

test("a signal ends a request, a pause and a wait, with its own reason", async (context) => {
  const reason = new Error("the person left");
  const aborted = (error: unknown): boolean => error === reason;
  const hanging = await serving(context, (request) => request.on("end", () => leave.abort(reason)).resume());
  const leave = new AbortController();
  const began = performance.now();
  await assert.rejects(hanging.client.read(UNKNOWN, { waitSeconds: 25, signal: leave.signal }), aborted);
  assert.equal(hanging.requests.length, 1);
  await assert.rejects(hanging.client.cancel(UNKNOWN, { signal: leave.signal }), aborted);
  assert.equal(hanging.requests.length, 1);

  const pausing = await serving(context, (_, response) => {
    response.on("finish", () => setImmediate(() => pause.abort(reason)));
    send(response, 503, { ...UNAVAILABLE, retry_after: 5 });
  });
  const pause = new AbortController();
  await assert.rejects(pausing.client.cancel(UNKNOWN, { signal: pause.signal }), aborted);
  assert.equal(pausing.requests.length, 1);

  const double = new Double();
  const made = await double.client().start({ phoneNumber: "+79991234567", purpose: "login" });
  const signal = AbortSignal.timeout(50);
  const waiting = double.client().waitUntilVerified(made.id, { timeoutSeconds: 60, signal });
  await assert.rejects(waiting, (error) => error === signal.reason);
  // Each of these would take a minute without its signal, or 5 s.
  assert.ok(performance.now() - began < 4500);
});

test("no redirect is followed", async (context) => {
  const { client, requests } = await serving(context, (request, response) => {
    if (request.url === "/elsewhere") return send(response, 200, CREATED);
    response.writeHead(307, { Location: "/elsewhere" }).end();
  }, { attempts: 1 });
  await assert.rejects(client.read(UNKNOWN), Unreachable);
  assert.equal(requests.length, 1);
});

test("an id of another form is refused before anything is sent", async () => {
  const double = new Double();
  const client = double.client();
  for (const wrong of ["", "ver_1", "../operator", `${UNKNOWN}0`, UNKNOWN.toUpperCase(), `${UNKNOWN}\n`]) {
    const acts = [client.read(wrong), client.cancel(wrong), client.consume(wrong, { purpose: "login" })];
    for (const act of [...acts, client.check(wrong, "000000"), client.fallBack(wrong), client.resend(wrong)]) {
      await assert.rejects(act, TypeError);
    }
  }
  assert.deepEqual(double.requests, []);
});

test("wrong settings are refused without being shown", () => {
  for (const baseUrl of ["ftp://waitcall", "http://user:pass@waitcall", "http://waitcall/?a=1", "waitcall:8080"]) {
    assert.throws(() => new Waitcall({ baseUrl, apiKey: KEY }), TypeError);
  }
  for (const apiKey of ["", `${KEY}\n`, `${KEY} `, `${KEY}\u{1F511}`]) {
    assert.throws(() => new Waitcall({ baseUrl: "http://waitcall", apiKey }), (error) => {
      assert.ok(error instanceof TypeError);
      assert.ok(!inspect(error).includes(KEY));
      return true;
    });
  }
});

test("a prefix of the URL is kept", async () => {
  const urls: string[] = [];
  const fetch = async (url: string): Promise<Response> => {
    urls.push(url);
    return Response.json(UNAVAILABLE, { status: 503 });
  };
  const client = new Waitcall({ baseUrl: "http://proxy/waitcall/", apiKey: KEY, attempts: 1, fetch });
  await assert.rejects(client.read(UNKNOWN, { waitSeconds: 5, channel: "call" }), problems.StoreUnavailable);
  assert.deepEqual(urls, [`http://proxy/waitcall/v1/verifications/${UNKNOWN}?wait=5&channel=call`]);
});

test("neither the key nor an id nor a number is shown by inspect, JSON or an error", async (context) => {
  const { client } = await serving(context, (request, response) => {
    const path = request.url ?? "";
    if (request.method === "POST") return send(response, 201, CREATED);
    send(response, 503, { ...UNAVAILABLE, detail: `no ${path}`, instance: path, retry_after: 9 });
  });
  const made = await client.start({ phoneNumber: "+79991234567", purpose: "login", reference: "secret-reference" });
  const error = await client.read(made.id).catch((caught: unknown) => caught);
  assert.ok(error instanceof WaitcallError);
  const away = await new Waitcall({ baseUrl: "http://127.0.0.1:1", apiKey: KEY, attempts: 1 })
    .read(made.id)
    .catch((caught: unknown) => caught);
  assert.ok(away instanceof Unreachable);
  for (const each of [client, made, made.call, error, away]) {
    const shown = [inspect(each, { depth: 9, showHidden: each !== error && each !== made && each !== made.call })];
    if (each !== made.call) shown.push(JSON.stringify(each));
    for (const secret of [KEY, made.id, "9991234567", "9585551234", "secret-reference"]) {
      assert.ok(!shown.join().includes(secret), `${secret} in ${shown}`);
    }
  }
  assert.match(error.message, new RegExp(`ver_…${made.id.slice(-6)}`));
  assert.match(inspect(made), /^Verification \{\s+status: 'pending'/);
  assert.equal(maskIds(`a ${made.id} b`), `a ver_…${made.id.slice(-6)} b`);
  // The page needs the number to dial, so it is in the JSON of `call`.
  assert.deepEqual(JSON.parse(JSON.stringify(made.call)).uri, "tel:+79585551234");
});

test("the compiler tells one problem from another", () => {
  function advice(error: Problem): string {
    if (error instanceof problems.RateLimited) return "wait";
    if (error instanceof problems.Expired) return error.code satisfies "expired";
    return error.code;
  }
  const body = { status: 410, detail: "" };
  assert.equal(advice(new problems.Expired({ ...body, code: "expired" })), "expired");
  assert.equal(advice(new Problem({ ...body, code: "other" })), "other");
});

