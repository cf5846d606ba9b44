"""Metrics, logs and traces. They never raise into the service, and never show a phone number or a secret."""
