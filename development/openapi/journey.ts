// Program of a TypeScript user: openapi-typescript makes the types from the OpenAPI document, openapi-fetch uses them.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Verification = components["schemas"]["Verification"];

const [url = "", key = "", phoneNumber = "", reference = ""] = process.argv.slice(2);
const api = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } });

function required(answer: { data?: Verification; error?: components["schemas"]["Problem"] }): Verification {
    if (!answer.data) throw new Error(answer.error?.code);
    return answer.data;
}

const made = required(
    await api.POST("/v1/verifications", {
        params: { header: { "Idempotency-Key": reference } },
        body: { phone_number: phoneNumber, purpose: "login", reference },
    }),
);
console.log(made.status, made.call?.number);

const path = { verification_id: made.id };
const found = required(
    await api.GET("/v1/verifications/{verification_id}", { params: { path, query: { wait: 30 } } }),
);
console.log(found.status, found.reason);

const consume = () =>
    api.POST("/v1/verifications/{verification_id}/consume", {
        params: { path },
        body: { purpose: "login", reference },
    });
console.log(required(await consume()).status);
const { error } = await consume();
console.log(error?.status, error?.code);
