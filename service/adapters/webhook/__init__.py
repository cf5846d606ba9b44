"""Outcomes out to the clients' endpoints, by Standard Webhooks."""
