import { Ended, Problem, StillPending, Unreachable, type ProblemBody } from "./errors.js";
import { Verification, type Channel } from "./models.js";
import { BY_CODE } from "./problems.js";
import { VERSION } from "./version.js";

/** Sends one request, as the platform's `fetch` does. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface WaitcallOptions {
  /** URL of the internal API, for instance `http://waitcall:8080`. */
  readonly baseUrl: string | URL;
  /** API key of your service. It is sent only in a header, and never shown. */
  readonly apiKey: string;
  /** Seconds of one attempt, 35 by default. A create may take as long as the provider's timeout in waitcall. */
  readonly timeoutSeconds?: number;
  /** Seconds of one call of a method with all its attempts and pauses, 60 by default. The wait of a `read` comes on top. */
  readonly deadlineSeconds?: number;
  /** Most attempts of one call of a method, the first included; 3 by default. */
  readonly attempts?: number;
  /** Replaces the platform's `fetch`, for instance in tests. */
  readonly fetch?: Fetch;
}

interface Abortable {
  /** Ends the call of the method, which then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of a method that changes something. */
export interface ActOptions extends Abortable {
  /** Key of an earlier call to repeat, for instance by another process; by default a new one. */
  readonly idempotencyKey?: string | undefined;
}

export interface StartOptions extends ActOptions {
  /** E.164, or a national number if the client has a default region. Spaces and punctuation are allowed. */
  readonly phoneNumber: string;
  /** A purpose of waitcall's policy. */
  readonly purpose: string;
  /**
   * Fresh and unguessable for each attempt (`randomBytes(16).toString("base64url")`), kept in your server-side session.
   * Never use the id of an account or a session. Consume must repeat it.
   */
  readonly reference?: string | undefined;
  /** Seconds in which the call must come. */
  readonly windowSeconds?: number | undefined;
  /** IP address of the person, for limits. Without it all people share the limits of your client. */
  readonly clientIp?: string | undefined;
  /** BCP 47 tag, for texts and the hosted page. */
  readonly locale?: string | undefined;
  /** Up to ten pairs, which every answer repeats. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** By default the first channel of the purpose. */
  readonly channel?: Channel | undefined;
  /** Answer to the picture of `CaptchaRequired`. */
  readonly captcha?: { readonly code: string; readonly userIp: string } | undefined;
  /** Your own assessment. */
  readonly risk?: "low" | "high" | undefined;
  /** URL to return to from a hosted page. If it is given, the answer has `hostedUrl`. */
  readonly returnUrl?: string | undefined;
}

export interface ReadOptions extends Abortable {
  /** Wait so long (up to 30) for the verification to leave `pending` or `channel`. */
  readonly waitSeconds?: number | undefined;
  /** The channel that your page shows now. */
  readonly channel?: Channel | undefined;
}

export interface WaitOptions extends Abortable {
  readonly timeoutSeconds: number;
}

export interface ConsumeOptions extends ActOptions {
  /** The purpose given to `start`. */
  readonly purpose: string;
  /** The reference given to `start`. */
  readonly reference?: string | undefined;
  /** After a hosted page, the `result` that the browser brought back. */
  readonly result?: string | undefined;
}

export interface FallBackOptions extends ActOptions {
  /** A later channel of the purpose; by default the next one. */
  readonly channel?: Channel | undefined;
}

interface Request extends Abortable {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: object;
  readonly idempotencyKey?: string;
  /** False if it must not be sent again after its answer was lost. */
  readonly repeatable?: boolean;
  /** Seconds of a long poll, which are added to the timeout. */
  readonly waitSeconds?: number;
}

const PATH = "/v1/verifications";
const ID = /^ver_[0-9a-f]{64}$/;
const CREATED = 201;
const LONGEST_WAIT_SECONDS = 25;
const SHORTEST_PAUSE_SECONDS = 1;
/** Longest `retry_after`, in seconds, after which the client repeats a request itself. A longer one is thrown at once. */
const LONGEST_RETRY_AFTER = 5;
const AGAIN = ["store_unavailable", "provider_unavailable", "idempotency_in_flight"];
/** Errors of Node's sockets and of its `fetch` that come before a request was sent. */
const NEVER_SENT = [
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
];

/**
 * Client of the internal API. Make one for each process and share it.
 *
 * Every method may throw a {@link Problem} (`problems` has a subclass for each code) and {@link Unreachable}. A request
 * without an answer is sent again with the same Idempotency-Key, so no number is ordered, no code is sent and no proof is
 * consumed twice. Only {@link check} is not repeated if the request may have arrived.
 */
export class Waitcall {
  readonly #baseUrl: string;
  readonly #headers: Headers;
  readonly #timeoutSeconds: number;
  readonly #deadlineSeconds: number;
  readonly #attempts: number;
  readonly #fetch: Fetch;

  constructor(options: WaitcallOptions) {
    const { baseUrl, apiKey, timeoutSeconds = 35, deadlineSeconds = 60, attempts = 3 } = options;
    this.#baseUrl = checkedUrl(baseUrl);
    // A key that fits into no header would be shown in the error of fetch.
    if (!/^[\x21-\x7e]+$/.test(apiKey)) throw new TypeError("apiKey must be printable ASCII without spaces.");
    this.#headers = new Headers({
      Authorization: `Bearer ${apiKey}`,
      Accept: "application/json",
      "User-Agent": `waitcall-typescript/${VERSION}`,
    });
    this.#timeoutSeconds = timeoutSeconds;
    this.#deadlineSeconds = deadlineSeconds;
    this.#attempts = attempts;
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, init));
  }

  /**
   * Starts a verification.
   *
   * If this number has a pending verification with the same purpose and reference, that one is returned with `created`
   * false, unless a call already matched it or another requester contests it.
   *
   * On `VerificationInProgress` cancel the attempt that your session still holds, or wait for `retryAfter` seconds.
   */
  async start(options: StartOptions): Promise<Verification> {
    const { captcha, metadata } = options;
    const body = {
      phone_number: options.phoneNumber,
      purpose: options.purpose,
      reference: options.reference,
      window_seconds: options.windowSeconds,
      client_ip: options.clientIp,
      locale: options.locale,
      metadata: metadata && Object.keys(metadata).length > 0 ? metadata : undefined,
      channel: options.channel,
      captcha: captcha && { code: captcha.code, user_ip: captcha.userIp },
      context: options.risk && { risk: options.risk },
      hosted: options.returnUrl === undefined ? undefined : { return_url: options.returnUrl },
    };
    return this.#send({ method: "POST", path: PATH, body, ...act(options) });
  }

  /** Returns a verification. */
  async read(id: string, { waitSeconds = 0, channel, signal }: ReadOptions = {}): Promise<Verification> {
    const query = new URLSearchParams();
    if (waitSeconds) query.set("wait", String(waitSeconds));
    if (channel !== undefined) query.set("channel", channel);
    const path = query.size > 0 ? `${one(id)}?${query}` : one(id);
    return this.#send({ method: "GET", path, waitSeconds, signal });
  }

  /**
   * Waits by long polls until a verification is verified.
   *
   * @throws Ended if it has another status than pending or verified, for instance expired, contested or consumed.
   * @throws StillPending if it is still pending after `timeoutSeconds`.
   */
  async waitUntilVerified(id: string, { timeoutSeconds, signal }: WaitOptions): Promise<Verification> {
    const deadline = now() + timeoutSeconds;
    for (;;) {
      const asked = now();
      const left = Math.max(deadline - asked, 0);
      const waitSeconds = Math.min(Math.trunc(left), LONGEST_WAIT_SECONDS);
      const found = await this.read(id, { waitSeconds, signal });
      if (found.isVerified) return found;
      if (!found.isPending) throw new Ended(found);
      if (now() >= deadline || left < 1) throw new StillPending(`pending after ${timeoutSeconds} s`);
      // A service that already holds too many long polls answers at once, so pause before asking again.
      await pause(SHORTEST_PAUSE_SECONDS - (now() - asked), signal);
    }
  }

  /** Redeems the proof. This succeeds once. Upgrade the session only after it. */
  async consume(id: string, options: ConsumeOptions): Promise<Verification> {
    const { purpose, reference, result } = options;
    return this.#act(id, "consume", { purpose, reference, result }, options);
  }

  /** Switches to a later channel of the purpose. */
  async fallBack(id: string, options: FallBackOptions = {}): Promise<Verification> {
    return this.#act(id, "fallback", { channel: options.channel }, options);
  }

  /** Sends a code: the first one after a call of a purpose with two steps, or a new one. */
  async resend(id: string, options: ActOptions = {}): Promise<Verification> {
    return this.#act(id, "resend", {}, options);
  }

  /**
   * Checks the code that the person typed. Each wrong code uses up an attempt, so a check is not repeated.
   *
   * @throws problems.CodeMismatch if it is wrong.
   * @throws problems.RateLimited if the number had too many wrong codes in the period that waitcall's policy sets.
   */
  async check(id: string, code: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Verification> {
    return this.#send({ method: "POST", path: `${one(id)}/check`, body: { code }, repeatable: false, signal });
  }

  /** Cancels a pending verification. */
  async cancel(id: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Verification> {
    return this.#send({ method: "DELETE", path: one(id), signal });
  }

  async #act(id: string, action: string, body: object, options: ActOptions): Promise<Verification> {
    return this.#send({ method: "POST", path: `${one(id)}/${action}`, body, ...act(options) });
  }

  async #send(request: Request): Promise<Verification> {
    const wait = request.waitSeconds ?? 0;
    const deadline = now() + this.#deadlineSeconds + wait;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(request, Math.min(this.#timeoutSeconds + wait, deadline - now()));
      } catch (error) {
        const seconds = attempt < this.#attempts ? secondsUntilRetry(request, error, attempt) : undefined;
        if (seconds === undefined || now() + seconds >= deadline) throw error;
        await pause(seconds, request.signal);
      }
    }
  }

  async #once(request: Request, timeoutSeconds: number): Promise<Verification> {
    const { signal, body } = request;
    const headers = new Headers(this.#headers);
    if (body !== undefined) headers.set("Content-Type", "application/json");
    if (request.idempotencyKey !== undefined) headers.set("Idempotency-Key", request.idempotencyKey);
    const ending = new AbortController();
    const abort = (): void => ending.abort();
    signal?.throwIfAborted();
    signal?.addEventListener("abort", abort);
    const timer = setTimeout(abort, timeoutSeconds * 1000);
    try {
      const response = await this.#fetch(this.#baseUrl + request.path, {
        method: request.method,
        headers,
        redirect: "manual",
        signal: ending.signal,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return result(response, await response.text());
    } catch (error) {
      if (error instanceof Problem || error instanceof Unreachable) throw error;
      signal?.throwIfAborted();
      const reason = ending.signal.aborted ? "timeout" : reasonOf(error);
      throw new Unreachable(reason, !NEVER_SENT.includes(reason));
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }
}

function checkedUrl(given: string | URL): string {
  const url = new URL(given);
  if (!["http:", "https:"].includes(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw new TypeError("baseUrl must be http:// or https:// without user, query or fragment.");
  }
  return url.href.replace(/\/+$/, "");
}

/** Returns the path of a verification. An id of another form could lead to another path. */
function one(id: string): string {
  if (!ID.test(id)) throw new TypeError("This is not the id of a verification.");
  return `${PATH}/${id}`;
}

function act({ idempotencyKey, signal }: ActOptions): { idempotencyKey: string; signal: AbortSignal | undefined } {
  return { idempotencyKey: idempotencyKey ?? crypto.randomUUID(), signal };
}

/** Returns the verification in a response, or throws its problem. */
function result(response: Response, text: string): Verification {
  let problem: Problem;
  try {
    const body = JSON.parse(text);
    if (response.ok) return new Verification(body, response.status === CREATED);
    problem = problemOf(response.status, body);
  } catch {
    throw new Unreachable(`HTTP ${response.status}, but the body is no answer of waitcall`, true);
  }
  throw problem;
}

function problemOf(status: number, body: Partial<ProblemBody>): Problem {
  if (typeof body.code !== "string") throw new TypeError("no problem");
  const known = Object.hasOwn(BY_CODE, body.code) ? BY_CODE[body.code as keyof typeof BY_CODE] : Problem;
  return new known({ ...body, code: body.code, status });
}

/** Returns the seconds until the next attempt, or undefined if the error must be thrown. */
function secondsUntilRetry(request: Request, error: unknown, attempt: number): number | undefined {
  const repeatable = request.repeatable ?? true;
  if (error instanceof Unreachable) return repeatable || !error.sent ? backoff(attempt) : undefined;
  if (!(error instanceof Problem) || !repeatable || !AGAIN.includes(error.code)) return undefined;
  if (!error.retryAfter) return backoff(attempt);
  return error.retryAfter <= LONGEST_RETRY_AFTER ? error.retryAfter : undefined;
}

/** Returns a random time, so that clients that failed together do not come back together. */
function backoff(attempt: number): number {
  return Math.random() * Math.min(2, 0.1 * 2 ** (attempt - 1));
}

/** Returns the code or the name of an error. Its message could hold the URL, and so an id. */
function reasonOf(error: unknown): string {
  for (const each of [(error as { cause?: unknown })?.cause, error]) {
    const { code, name } = (each ?? {}) as { code?: unknown; name?: unknown };
    for (const word of [code, name]) if (typeof word === "string") return word;
  }
  return "unknown";
}

function now(): number {
  return performance.now() / 1000;
}

async function pause(seconds: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  if (seconds <= 0) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(end, seconds * 1000);
    function end(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    }
    signal?.addEventListener("abort", end);
  });
  signal?.throwIfAborted();
}
