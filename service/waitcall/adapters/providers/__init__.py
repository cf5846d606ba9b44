"""Parts that the adapters of all telephony providers share: bounded requests, bulkhead, time limit, breakers."""
