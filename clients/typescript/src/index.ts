/** Client of waitcall, which verifies a phone number by a call. */
export {
  Waitcall,
  type ActOptions,
  type ConsumeOptions,
  type FallBackOptions,
  type Fetch,
  type ReadOptions,
  type StartOptions,
  type WaitcallOptions,
  type WaitOptions,
} from "./client.js";
export { Ended, Problem, StillPending, Unreachable, WaitcallError, WebhookRejected } from "./errors.js";
export { maskIds } from "./masking.js";
export type { Assurance, Call, Channel, Code, Open, Status, TextIn, Verification } from "./models.js";
export * as problems from "./problems.js";
export { verifyWebhook, type WebhookEvent, type WebhookHeaders } from "./webhooks.js";
