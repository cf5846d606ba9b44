// Program of a TypeScript user. The compiler checks it against the types that are generated from the OpenAPI document.
import createClient from "openapi-fetch";
import type { components, paths } from "./api";

type Verification = components["schemas"]["Verification"];

const api = createClient<paths>({ baseUrl: "http://127.0.0.1:8080", headers: { Authorization: "Bearer KEY" } });

export async function prove(phoneNumber: string, reference: string): Promise<Verification | undefined> {
    const made = await api.POST("/v1/verifications", {
        params: { header: { "Idempotency-Key": reference } },
        body: { phone_number: phoneNumber, purpose: "login", reference },
    });
    if (made.error) {
        console.error(made.error.code, made.error.retry_after ?? 0);
        return undefined;
    }
    console.log(made.data.call?.number, made.data.expires_in);
    const path = { verification_id: made.data.id };
    const read = await api.GET("/v1/verifications/{verification_id}", { params: { path, query: { wait: 30 } } });
    if (read.data?.status !== "verified") return read.data;
    const consumed = await api.POST("/v1/verifications/{verification_id}/consume", {
        params: { path },
        body: { purpose: "login", reference },
    });
    return consumed.data;
}
