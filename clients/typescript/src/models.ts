/** A known word, or another one from a newer service. */
export type Open<Known extends string> = Known | (string & Record<never, never>);

/** Status of a verification. */
export type Status =
  | "pending"
  | "verified"
  | "consumed"
  | "expired"
  | "lapsed"
  | "canceled"
  | "failed"
  | "contested";

/** Way in which the person proves the number. */
export type Channel = "call" | "text_in" | "code";

/** What a verification proves: docs/what-a-call-proves.md of the service. */
export type Assurance = "asserted" | "network" | "roundtrip";

const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/** Number to dial: in E.164, formatted for people, and as a `tel:` URI. `console.log` shows none of them. */
export class Call {
  readonly number: string;
  readonly display: string;
  readonly uri: string;

  /** @internal */
  constructor(answer: Answer) {
    this.number = answer.text("number");
    this.display = answer.text("display");
    this.uri = answer.text("uri");
  }

  [INSPECT](): string {
    return "Call {}";
  }
}

/** Text to send, the number to send it to, and both as an `sms:` URI. `console.log` shows none of them. */
export class TextIn {
  readonly number: string;
  readonly display: string;
  readonly text: string;
  readonly uri: string;

  /** @internal */
  constructor(answer: Answer) {
    this.number = answer.text("number");
    this.display = answer.text("display");
    this.text = answer.text("text");
    this.uri = answer.text("uri");
  }

  [INSPECT](): string {
    return "TextIn {}";
  }
}

/** State of the code that was sent. */
export interface Code {
  readonly digits: number;
  readonly attemptsLeft: number;
  readonly sendsLeft: number;
  /** Seconds until another code may be sent. */
  readonly resendIn: number;
  /** Delivery status that the provider reports: `queued`, `delivered` or `failed`. */
  readonly delivery: string;
  readonly deliveryReason: string | null;
  readonly sentAt: Date;
}

/**
 * Verification at the time of the answer.
 *
 * `console.log` and `JSON.stringify` leave out ids, numbers, references and texts, because they would be in your logs or in
 * the browser. Take what you need by its name: `id` for the server-side session, `call` for the page.
 */
export class Verification {
  /** Keep it in the server-side session, never in the browser. */
  readonly id: string;
  readonly status: Open<Status>;
  readonly reason: string | null;
  readonly purpose: string;
  readonly reference: string | null;
  readonly phoneNumber: string;
  readonly channel: Open<Channel>;
  /** Channel that a fallback leads to. Null if there is none. */
  readonly nextChannel: Open<Channel> | null;
  /** What the verification proves in the end. It can be lower once verified, if only the provider's inbox shows the call. */
  readonly assurance: Open<Assurance>;
  /** Number to dial. Null if the order failed, and on other channels. */
  readonly call: Call | null;
  readonly textIn: TextIn | null;
  readonly code: Code | null;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  /** Seconds from the answer until a call no longer counts. */
  readonly expiresIn: number;
  readonly calledAt: Date | null;
  /**
   * When a call came from the number that proved less than the purpose requires. Null if none did. The verification stays
   * pending: offer `nextChannel`, or ask for a call without forwarding.
   */
  readonly weakCallAt: Date | null;
  readonly verifiedAt: Date | null;
  readonly consumedAt: Date | null;
  readonly metadata: Readonly<Record<string, string>>;
  /** URL of the hosted page, if one was requested. Redirect the browser to it. */
  readonly hostedUrl: string | null;
  /** True for a test number of the service's policy. Nobody has proven anything: refuse it where that matters. */
  readonly test: boolean;
  /** True in the answer to the `start` that started it. False if `start` returned an earlier one, and in other answers. */
  readonly created: boolean;

  /**
   * Reads the JSON of an answer. Unknown fields are ignored, so that a newer service may add some.
   *
   * @throws TypeError if it is no verification.
   */
  constructor(json: unknown, created = false) {
    const answer = new Answer(json);
    this.id = answer.text("id");
    this.status = answer.text("status");
    this.reason = answer.optional("reason", answer.text);
    this.purpose = answer.text("purpose");
    this.reference = answer.optional("reference", answer.text);
    this.phoneNumber = answer.text("phone_number");
    this.channel = answer.optional("channel", answer.text) ?? "call";
    this.nextChannel = answer.optional("next_channel", answer.text);
    this.assurance = answer.text("assurance");
    this.call = answer.optional("call", (name) => new Call(answer.object(name)));
    this.textIn = answer.optional("text_in", (name) => new TextIn(answer.object(name)));
    this.code = answer.optional("code", (name) => codeOf(answer.object(name)));
    this.createdAt = answer.time("created_at");
    this.expiresAt = answer.time("expires_at");
    this.expiresIn = answer.integer("expires_in");
    this.calledAt = answer.optional("called_at", answer.time);
    this.weakCallAt = answer.optional("weak_call_at", answer.time);
    this.verifiedAt = answer.optional("verified_at", answer.time);
    this.consumedAt = answer.optional("consumed_at", answer.time);
    this.metadata = answer.optional("metadata", (name) => answer.object(name).texts()) ?? {};
    this.hostedUrl = answer.optional("hosted_url", answer.text);
    this.test = answer.flag("test");
    this.created = created;
  }

  /** True while the person can still prove the number. */
  get isPending(): boolean {
    return this.status === "pending";
  }

  /** True once the number is proven, until consume. */
  get isVerified(): boolean {
    return this.status === "verified";
  }

  /** Returns the fields that may be logged. */
  toJSON(): Record<string, unknown> {
    const { status, reason, purpose, channel, nextChannel, assurance, code } = this;
    const { createdAt, expiresAt, expiresIn, calledAt, weakCallAt, verifiedAt, consumedAt, test, created } = this;
    return {
      ...{ status, reason, purpose, channel, nextChannel, assurance, code },
      ...{ createdAt, expiresAt, expiresIn, calledAt, weakCallAt, verifiedAt, consumedAt, test, created },
    };
  }

  [INSPECT](_depth: number, options: object, inspect: (value: unknown, options: object) => string): string {
    return `Verification ${inspect(this.toJSON(), options)}`;
  }
}

function codeOf(answer: Answer): Code {
  return {
    digits: answer.integer("digits"),
    attemptsLeft: answer.integer("attempts_left"),
    sendsLeft: answer.integer("sends_left"),
    resendIn: answer.integer("resend_in"),
    delivery: answer.text("delivery"),
    deliveryReason: answer.optional("delivery_reason", answer.text),
    sentAt: answer.time("sent_at"),
  };
}

/** Reader of a JSON object. Each method throws a TypeError, without the value, if the member has another type. */
export class Answer {
  readonly #members: Readonly<Record<string, unknown>>;

  constructor(json: unknown) {
    if (typeof json !== "object" || json === null || Array.isArray(json)) throw new TypeError("no JSON object");
    this.#members = json as Readonly<Record<string, unknown>>;
  }

  readonly text = (name: string): string => {
    const value = this.#members[name];
    if (typeof value !== "string") throw new TypeError(`${name} is no text`);
    return value;
  };

  readonly time = (name: string): Date => {
    const time = new Date(this.text(name));
    if (Number.isNaN(time.getTime())) throw new TypeError(`${name} is no time`);
    return time;
  };

  integer(name: string): number {
    const value = this.#members[name];
    if (!Number.isSafeInteger(value)) throw new TypeError(`${name} is no integer`);
    return value as number;
  }

  /** False where the member is missing, because an older service does not know it. */
  flag(name: string): boolean {
    return this.#members[name] === true;
  }

  object(name: string): Answer {
    return new Answer(this.#members[name]);
  }

  texts(): Readonly<Record<string, string>> {
    return Object.fromEntries(Object.keys(this.#members).map((name) => [name, this.text(name)]));
  }

  optional<Value>(name: string, read: (name: string) => Value): Value | null {
    return this.#members[name] == null ? null : read(name);
  }
}
