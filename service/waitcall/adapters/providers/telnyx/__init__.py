"""Telnyx: calls to our own numbers there, and the command that ends a call."""
