"""Delivery of events to the clients' endpoints, by the Standard Webhooks specification."""
