"""Metrics and logs. Never raises into the service, never shows a number or a secret."""
