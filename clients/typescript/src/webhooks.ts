import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { WebhookRejected } from "./errors.js";
import { Answer, type Open, type Status } from "./models.js";

/** Event of a verification. It is only a hint: consume gives the proof. */
export interface WebhookEvent {
  /** Id of the event. Repeated deliveries have the same id; ignore an event that you have seen. */
  readonly id: string;
  /** For instance `verification.verified`. */
  readonly type: string;
  readonly at: Date;
  /** Id to read or consume the verification. It is a secret. */
  readonly verificationId: string;
  readonly status: Open<Status>;
  readonly reason: string | null;
  readonly purpose: string;
  readonly reference: string | null;
}

/** Headers of a request: of `fetch`, or of `node:http`. */
export type WebhookHeaders =
  | Headers
  | Readonly<Record<string, string | readonly string[] | undefined>>;

const SIGNED = ["webhook-id", "webhook-timestamp", "webhook-signature"];

/**
 * Verifies the signature of a webhook request (Standard Webhooks) and returns its event.
 *
 * @param body Raw body of the request, before any JSON parser.
 * @param secrets Signing secrets (`whsec_…`): the current one, and during a rotation the other one too.
 * @throws WebhookRejected if no secret fits, the request is older than five minutes, or it has no event.
 */
export function verifyWebhook(
  body: string | Uint8Array,
  headers: WebhookHeaders,
  secrets: string | readonly string[],
): WebhookEvent {
  const known = (typeof secrets === "string" ? [secrets] : secrets).map((secret) => new Webhook(secret));
  if (known.length === 0) throw new TypeError("A secret is required.");
  const signed = signedHeaders(headers);
  // The library takes no Uint8Array but Node's Buffer. What is no UTF-8 is read as another text, which no signature fits.
  const text = typeof body === "string" ? body : new TextDecoder("utf-8", { ignoreBOM: true }).decode(body);
  if (!known.some((webhook) => fits(webhook, text, signed))) {
    throw new WebhookRejected("The request is not signed with a known secret, or is too old.");
  }
  return eventOf(text, signed["webhook-id"] ?? "");
}

function signedHeaders(headers: WebhookHeaders): Record<string, string> {
  const entries = headers instanceof Headers ? [...headers.entries()] : Object.entries(headers);
  const lower = entries.map(([name, value]) => [name.toLowerCase(), String(value ?? "")] as const);
  return Object.fromEntries(lower.filter(([name]) => SIGNED.includes(name)));
}

function fits(webhook: Webhook, body: string, headers: Record<string, string>): boolean {
  try {
    webhook.verify(body, headers, { jsonParse: false });
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
}

function eventOf(body: string, id: string): WebhookEvent {
  try {
    const event = new Answer(JSON.parse(body));
    const data = event.object("data");
    return {
      id,
      type: event.text("type"),
      at: event.time("timestamp"),
      verificationId: data.text("id"),
      status: data.text("status"),
      reason: data.optional("reason", data.text),
      purpose: data.text("purpose"),
      reference: data.optional("reference", data.text),
    };
  } catch {
    throw new WebhookRejected("The request is signed, but has no event.");
  }
}
