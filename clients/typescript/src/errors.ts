import { maskIds } from "./masking.js";
import type { Verification } from "./models.js";

/** Base class of all errors of this package. */
export class WaitcallError extends Error {
  constructor(message: string) {
    super(maskIds(message));
    hide(this, "name", new.target.name);
  }
}

/**
 * No readable answer came, after all attempts. The request may have been carried out: repeat it with the same
 * `idempotencyKey`.
 */
export class Unreachable extends WaitcallError {
  /** @param sent False only if the request certainly did not reach the service. */
  constructor(
    message: string,
    readonly sent: boolean,
  ) {
    super(message);
  }
}

/** The verification ended without becoming verified. `verification` has its status and reason. */
export class Ended extends WaitcallError {
  constructor(readonly verification: Verification) {
    super(`${verification.status}: ${verification.reason}`);
  }
}

/** The verification is still pending after the time given. It can still become verified. */
export class StillPending extends WaitcallError {}

/** The request is not from waitcall, is too old, or has no event. Answer 400 and do nothing. */
export class WebhookRejected extends WaitcallError {}

/** Members of a problem (RFC 9457), as the service sends them. */
export interface ProblemBody {
  readonly code: string;
  readonly status: number;
  readonly detail?: string;
  readonly retry_after?: number | null;
  readonly errors?: Readonly<Record<string, readonly string[]>> | null;
  readonly request_id?: string | null;
  readonly image_url?: string | null;
  readonly instance?: string | null;
}

/** The service refused the request. Each known code has a subclass (`problems`); an unknown code throws this class itself. */
export class Problem extends WaitcallError {
  /** Problem code, for programs. It is stable. */
  readonly code: string;
  /** HTTP status. */
  readonly status: number;
  /** Seconds after which a repeat may succeed. Undefined if waiting does not help. */
  readonly retryAfter: number | undefined;
  /** Id of the request in the service's log. */
  readonly requestId: string | undefined;
  /** Sentence for your log. Never show it to the person. */
  declare readonly detail: string;
  /** Messages by field. */
  declare readonly errors: Readonly<Record<string, readonly string[]>>;
  /** URL of the picture to show, for `captcha_required`. */
  declare readonly imageUrl: string | undefined;
  /** Path of the record that a failed create left. It holds the record's id. */
  declare readonly instance: string | undefined;

  constructor(body: ProblemBody) {
    super(`${body.status} ${body.code}: ${body.detail ?? ""} (request ${body.request_id ?? "unknown"})`);
    this.code = body.code;
    this.status = body.status;
    this.retryAfter = body.retry_after ?? undefined;
    this.requestId = body.request_id ?? undefined;
    // These may hold an id or what the person typed, so neither console.log nor JSON.stringify shows them.
    hide(this, "detail", body.detail ?? "");
    hide(this, "errors", body.errors ?? {});
    hide(this, "imageUrl", body.image_url ?? undefined);
    hide(this, "instance", body.instance ?? undefined);
  }
}

function hide(error: Error, name: string, value: unknown): void {
  Object.defineProperty(error, name, { value, enumerable: false, configurable: true });
}
