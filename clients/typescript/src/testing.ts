import { Waitcall, type WaitcallOptions } from "./client.js";
import type { Channel, Status } from "./models.js";

const PATH = "/v1/verifications";
const NUMBER = "+79585551234";
const DISPLAY = "+7 958 555-12-34";
const WINDOW_SECONDS = 900;
const RESULT_SECONDS = 300;
const RESEND_SECONDS = 30;
const MAX_ATTEMPTS = 5;
const MAX_SENDS = 4;
const DELAY_SECONDS = 5;
const UNANSWERED = { call: "no_call", text_in: "no_text", code: "no_code" };

type Body = Readonly<Record<string, unknown>>;
type Lost = "lost";

interface Answered {
  readonly status: number;
  readonly json: Body;
}

interface Kept extends Answered {
  readonly asked: string;
}

interface Verified {
  readonly id: string;
  readonly asked: Body;
  readonly createdAt: number;
  readonly result: string;
  expiresAt: number;
  channel: Channel;
  status: Status;
  reason: string | null;
  verifiedAt: number | null;
  consumedAt: number | null;
  sentAt: number | null;
  weakCallAt: number | null;
  codes: string[];
  attempts: number;
  readonly fixed: FixedOutcome | undefined;
  since: number;
}

/** Outcome of a test number, as `[test_numbers]` of the service's policy fixes it. */
export interface FixedOutcome {
  readonly outcome: "verified" | "expired" | "contested" | "failed";
  /** Seconds from the start of a channel to the outcome; 5 by default. */
  readonly delaySeconds?: number;
  /** The right code on the channel `code`, where the outcome `verified` comes with it. */
  readonly code?: string;
}

class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly members: Body = {},
  ) {
    super(code);
  }
}

export interface DoubleOptions {
  /** Channels of every purpose, in the order of fallback; by default a call, then a code. */
  readonly channels?: readonly [Channel, ...Channel[]];
  /** The double's time; by default the current time. Only `advance` changes it. */
  readonly now?: Date;
  /** Numbers in E.164 whose outcome is fixed. Every purpose takes them. */
  readonly testNumbers?: Readonly<Record<string, FixedOutcome>>;
}

/**
 * Test double of the service, in memory, for your own tests. The client's tests run against it and against the real service.
 * It does not parse phone numbers, so pass them in E.164.
 *
 * ```ts
 * const double = new Double();
 * const waitcall = double.client();
 * const reference = randomBytes(16).toString("base64url"); // fresh for each attempt, kept in the server-side session
 * const made = await waitcall.start({ phoneNumber: "+79991234567", purpose: "login", reference });
 * double.call("+79991234567");
 * await waitcall.consume(made.id, { purpose: "login", reference });
 * ```
 */
export class Double {
  /** Method and path of each request that arrived. */
  readonly requests: { readonly method: string; readonly path: string }[] = [];
  readonly #channels: readonly Channel[];
  readonly #records = new Map<string, Verified>();
  readonly #answers = new Map<string, Kept>();
  readonly #failures: (Answered | Lost)[] = [];
  readonly #testNumbers: Readonly<Record<string, FixedOutcome>>;
  /** Seconds since 1970. */
  #now: number;

  constructor({ channels = ["call", "code"], now = new Date(), testNumbers = {} }: DoubleOptions = {}) {
    this.#channels = channels;
    this.#testNumbers = testNumbers;
    this.#now = Math.trunc(now.getTime() / 1000);
  }

  /** Creates a client that sends its requests to this double. */
  client(options: Pick<WaitcallOptions, "attempts" | "deadlineSeconds" | "timeoutSeconds"> = {}): Waitcall {
    const fetch = async (url: string, init: RequestInit): Promise<Response> => this.#handle(url, init);
    return new Waitcall({ ...options, baseUrl: "http://waitcall.test", apiKey: "key", fetch });
  }

  /**
   * Imitates the call of the person with this number. A call from a test number changes nothing. A `weak` call proves less
   * than the purpose requires, so the verification stays pending.
   */
  call(phoneNumber: string, { weak = false }: { readonly weak?: boolean } = {}): void {
    for (const record of this.#of(phoneNumber)) {
      if (record.fixed || record.status !== "pending" || record.channel !== "call") continue;
      if (weak) record.weakCallAt ??= Math.trunc(this.#now);
      else this.#prove(record, "call_matched");
    }
  }

  /**
   * Returns the latest code that was sent to a number.
   *
   * @throws Error if no code was sent.
   */
  code(phoneNumber: string): string {
    const code = this.#of(phoneNumber)
      .filter((record) => !record.fixed)
      .flatMap((record) => record.codes.slice(-1))
      .at(-1);
    if (code === undefined) throw new Error("No code was sent.");
    return code;
  }

  /** Returns the result that the hosted page would give to the browser. */
  result(id: string): string {
    return this.#find(id).result;
  }

  /** Moves the double's time forward. */
  advance(seconds: number): void {
    this.#now += seconds;
  }

  /** Answers the next request with a problem. */
  failNext(code: string, status: number, { retryAfter }: { readonly retryAfter?: number } = {}): void {
    this.#failures.push(problem(status, code, retryAfter ? { retry_after: retryAfter } : {}));
  }

  /** Does what the next request asks, but loses the answer. */
  loseNext(): void {
    this.#failures.push("lost");
  }

  #handle(url: string, init: RequestInit): Response {
    const path = new URL(url).pathname;
    const method = init.method ?? "GET";
    this.requests.push({ method, path });
    const failure = this.#failures.shift();
    const answered = failure === undefined || failure === "lost" ? this.#once(method, path, init) : failure;
    if (failure === "lost") throw new TypeError("fetch failed", { cause: { code: "ECONNRESET" } });
    const type = answered.status < 300 ? "application/json" : "application/problem+json";
    return new Response(JSON.stringify(answered.json), {
      status: answered.status,
      headers: { "Content-Type": type },
    });
  }

  #once(method: string, path: string, init: RequestInit): Answered {
    const asked = String(init.body ?? "");
    const idempotencyKey = new Headers(init.headers).get("Idempotency-Key");
    const place = JSON.stringify([path, idempotencyKey]);
    const kept = this.#answers.get(place);
    if (kept && kept.asked === asked) return kept;
    const answered = this.#answer(method, path, asked ? JSON.parse(asked) : {});
    if (idempotencyKey && answered.status < 300) this.#answers.set(place, { ...answered, asked });
    return answered;
  }

  #answer(method: string, path: string, body: Body): Answered {
    try {
      if (path === PATH) return this.#start(body);
      const [id = "", action = ""] = path.slice(PATH.length + 1).split("/");
      const record = this.#find(id);
      if (method === "DELETE") cancel(record);
      else if (action === "consume") this.#consume(record, body);
      else if (action === "check") this.#check(record, String(body["code"]));
      else if (action === "fallback") this.#fallBack(record, body["channel"]);
      else if (action === "resend") this.#resend(record);
      return { status: 200, json: this.#dump(record) };
    } catch (error) {
      if (error instanceof Refused) return problem(error.status, error.code, error.members);
      throw error;
    }
  }

  #start(body: Body): Answered {
    for (const other of this.#of(String(body["phone_number"]))) {
      if (other.status !== "pending" && other.status !== "contested") continue;
      const same = (["purpose", "reference"] as const).every((name) => other.asked[name] === body[name]);
      if (other.status === "pending" && body["reference"] && same) return { status: 200, json: this.#dump(other) };
      throw new Refused(409, "verification_in_progress", { retry_after: this.#until(other.expiresAt) });
    }
    const fixed = this.#testNumbers[String(body["phone_number"])];
    const record: Verified = {
      id: `ver_${hex(32)}`,
      asked: body,
      createdAt: this.#now,
      result: hex(16),
      expiresAt: this.#now + windowOf(body, fixed),
      channel: (body["channel"] ?? this.#channels[0]) as Channel,
      status: "pending",
      reason: null,
      verifiedAt: null,
      consumedAt: null,
      sentAt: null,
      weakCallAt: null,
      codes: [],
      attempts: 0,
      fixed,
      since: this.#now,
    };
    this.#records.set(record.id, record);
    if (record.channel === "code") this.#sendCode(record);
    return { status: 201, json: this.#dump(record) };
  }

  #consume(record: Verified, body: Body): void {
    for (const name of ["purpose", "reference"]) {
      if (record.asked[name] !== body[name]) throw new Refused(403, `${name}_mismatch`);
    }
    const expected = record.asked["hosted"] ? record.result : undefined;
    if (body["result"] !== expected) throw new Refused(403, "result_mismatch");
    if (record.status === "consumed") throw new Refused(409, "already_consumed");
    if (record.status === "expired" || record.status === "lapsed") throw new Refused(410, "expired");
    if (record.status === "contested") throw new Refused(409, "contested");
    if (record.status !== "verified") throw new Refused(409, "not_verified");
    record.status = "consumed";
    record.consumedAt = this.#now;
  }

  #check(record: Verified, code: string): void {
    const right = record.codes.includes(code);
    if (record.status === "verified" && right) return;
    mustBePending(record);
    if (record.channel !== "code") throw new Refused(409, "wrong_channel");
    if (right) return this.#prove(record, "code_matched");
    record.attempts += 1;
    if (record.attempts >= MAX_ATTEMPTS) {
      record.status = "failed";
      record.reason = "attempts_spent";
    }
    const left = MAX_ATTEMPTS - record.attempts;
    throw new Refused(422, "code_mismatch", { errors: { code: [`Wrong. Attempts left: ${left}.`] } });
  }

  #fallBack(record: Verified, channel: unknown): void {
    if (channel === record.channel) return;
    const later = this.#channels.slice(this.#channels.indexOf(record.channel) + 1);
    const next = channel === undefined ? later[0] : later.find((each) => each === channel);
    // In the service's order: it answers no_fallback first where no channel was named and none remains.
    if (channel !== undefined || next !== undefined) mustBePending(record);
    if (next === undefined) throw new Refused(409, "no_fallback");
    record.channel = next;
    record.since = this.#now;
    record.weakCallAt = null;
    record.expiresAt = this.#now + windowOf(record.asked, record.fixed);
    if (next === "code") this.#sendCode(record);
  }

  #resend(record: Verified): void {
    mustBePending(record);
    if (record.channel !== "code") throw new Refused(409, "wrong_channel");
    if (record.codes.length >= MAX_SENDS) throw new Refused(409, "sends_spent");
    const wait = this.#resendIn(record);
    if (wait > 0) throw new Refused(429, "rate_limited", { retry_after: wait });
    this.#sendCode(record);
  }

  #prove(record: Verified, reason: string, at = this.#now): void {
    record.status = "verified";
    record.reason = reason;
    record.verifiedAt = at;
  }

  #sendCode(record: Verified): void {
    const [random = 0] = crypto.getRandomValues(new Uint32Array(1));
    record.codes.push(record.fixed?.code ?? String(random % 10 ** 6).padStart(6, "0"));
    record.sentAt = this.#now;
  }

  #resendIn(record: Verified): number {
    if (record.sentAt === null) return 0;
    return this.#until(record.sentAt + RESEND_SECONDS * 2 ** (record.codes.length - 1));
  }

  #until(time: number): number {
    return Math.max(Math.trunc(time - this.#now), 0);
  }

  #of(phoneNumber: string): Verified[] {
    const all = [...this.#records.values()].filter((each) => each.asked["phone_number"] === phoneNumber);
    return all.map((each) => this.#settle(each));
  }

  #find(id: string): Verified {
    const record = this.#records.get(id);
    if (record === undefined) throw new Refused(404, "not_found");
    return this.#settle(record);
  }

  /** Gives a pending verification of a test number its outcome, if it is time. */
  #fix(record: Verified): void {
    const { fixed } = record;
    if (fixed === undefined || record.status !== "pending" || fixed.outcome === "expired") return;
    const at = record.since + delayOf(fixed);
    if (this.#now < at || at >= record.expiresAt) return;
    if (fixed.outcome !== "verified") {
      record.status = fixed.outcome;
      record.reason = fixed.outcome === "failed" ? "provider_error" : "concurrent_request";
    } else if (record.channel !== "code") {
      this.#prove(record, record.channel === "text_in" ? "text_matched" : "call_matched", at);
    }
  }

  /** Ends what is overdue. */
  #settle(record: Verified): Verified {
    this.#fix(record);
    if (["pending", "contested"].includes(record.status) && this.#now >= record.expiresAt) {
      record.status = "expired";
      record.reason = record.weakCallAt === null ? UNANSWERED[record.channel] : "weak_call";
    }
    if (record.status === "verified" && this.#now >= (record.verifiedAt ?? 0) + RESULT_SECONDS) {
      record.status = "lapsed";
      record.reason = "not_consumed";
    }
    return record;
  }

  #dump(record: Verified): Body {
    const { asked, channel } = record;
    const text = record.result.slice(0, 8).toUpperCase();
    const at = this.#channels.indexOf(channel);
    // Like the service, show a test number itself, so that nobody is called.
    const number = record.fixed ? String(asked["phone_number"]) : NUMBER;
    const display = record.fixed ? number : DISPLAY;
    return {
      id: record.id,
      status: record.status,
      reason: record.reason,
      purpose: asked["purpose"],
      reference: asked["reference"] ?? null,
      phone_number: asked["phone_number"],
      call: channel === "call" ? { number, display, uri: `tel:${number}` } : null,
      channel,
      text_in:
        channel === "text_in"
          ? { number, display, text, uri: `sms:${number}?body=${text}` }
          : null,
      code: record.codes.length > 0 ? this.#dumpCode(record) : null,
      next_channel: at < 0 ? null : (this.#channels[at + 1] ?? null),
      called_at: null,
      weak_call_at: written(record.weakCallAt),
      created_at: written(record.createdAt),
      expires_at: written(record.expiresAt),
      expires_in: this.#until(record.expiresAt),
      verified_at: written(record.verifiedAt),
      consumed_at: written(record.consumedAt),
      metadata: asked["metadata"] ?? {},
      assurance: channel === "code" ? "roundtrip" : "asserted",
      test: record.fixed !== undefined,
      hosted_url: asked["hosted"] ? `http://waitcall.test/p/${record.id.slice(4, 60)}` : null,
    };
  }

  #dumpCode(record: Verified): Body {
    return {
      digits: 6,
      attempts_left: MAX_ATTEMPTS - record.attempts,
      sends_left: MAX_SENDS - record.codes.length,
      sent_at: written(record.sentAt),
      resend_in: this.#resendIn(record),
      delivery: "queued",
      delivery_reason: null,
    };
  }
}

function cancel(record: Verified): void {
  if (["verified", "consumed", "lapsed"].includes(record.status)) throw new Refused(409, "already_verified");
  if (record.status !== "pending" && record.status !== "contested") return;
  record.status = "canceled";
  record.reason = "by_client";
}

function mustBePending(record: Verified): void {
  if (record.status === "pending") return;
  if (record.reason === "attempts_spent") throw new Refused(409, "attempts_spent");
  if (record.status === "expired") throw new Refused(410, "expired");
  if (record.status === "contested") throw new Refused(409, "contested");
  throw new Refused(409, ["canceled", "failed"].includes(record.status) ? "not_pending" : "already_verified");
}

function problem(status: number, code: string, members: Body): Answered {
  return { status, json: { code, status, detail: code.replaceAll("_", " "), ...members } };
}

function delayOf(fixed: FixedOutcome): number {
  return fixed.delaySeconds ?? DELAY_SECONDS;
}

function windowOf(body: Body, fixed?: FixedOutcome): number {
  const asked = Number(body["window_seconds"] ?? WINDOW_SECONDS);
  return fixed?.outcome === "expired" ? Math.min(asked, delayOf(fixed)) : asked;
}

function written(seconds: number | null): string | null {
  return seconds === null ? null : `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}

function hex(bytes: number): string {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  return [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
