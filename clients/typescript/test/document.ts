// The compiler compares the client's types with api.d.ts, which openapi-typescript makes from the service's document.
import type { Assurance, Channel, Code, Call, StartOptions, Status, TextIn, Verification } from "waitcall";
import type { ConsumeOptions, FallBackOptions, ReadOptions } from "waitcall";
import type { components, operations } from "./api.js";

type Schemas = components["schemas"];
type Camel<Name> = Name extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail> & string>}` : Name;
type Fields<Type> = Camel<keyof Type>;
type Same<One, Other> = [One] extends [Other] ? ([Other] extends [One] ? true : false) : false;
type Act = "idempotencyKey" | "signal";
/** Start gives the members of these objects by names of their own. */
type Flat = "context" | "hosted" | "risk" | "returnUrl";

const agreed: [
  Same<Fields<Schemas["Verification"]>, Exclude<keyof Verification, "created" | "isPending" | "isVerified" | "toJSON" | symbol>>,
  Same<Fields<Schemas["Call"]>, Exclude<keyof Call, symbol>>,
  Same<Fields<Schemas["TextIn"]>, Exclude<keyof TextIn, symbol>>,
  Same<Fields<Schemas["Code"]>, keyof Code>,
  Same<Schemas["Verification"]["status"], Status>,
  Same<Schemas["Verification"]["channel"], Channel>,
  Same<Schemas["Verification"]["assurance"], Assurance>,
  Same<Exclude<Fields<Schemas["Create"]>, Flat>, Exclude<keyof StartOptions, Act | Flat>>,
  Same<Fields<Schemas["Captcha"]>, keyof NonNullable<StartOptions["captcha"]>>,
  Same<keyof Schemas["Context"], "risk">,
  Same<Schemas["Context"]["risk"], "low" | "high" | null | undefined>,
  Same<keyof Schemas["Hosted"], "return_url">,
  Same<Fields<Schemas["Consume"]>, Exclude<keyof ConsumeOptions, Act>>,
  Same<Fields<Schemas["Fallback"]>, Exclude<keyof FallBackOptions, Act>>,
  Same<keyof Schemas["Check"], "code">,
  Same<keyof NonNullable<operations["read"]["parameters"]["query"]>, "wait" | "channel">,
  Same<keyof ReadOptions, "waitSeconds" | "channel" | "signal">,
] = [true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true];
void agreed;
