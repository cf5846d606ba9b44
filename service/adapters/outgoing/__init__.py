"""What every telephony provider's adapter stands on: bounded requests, bulkhead, budget, breakers."""
