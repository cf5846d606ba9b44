"""Twilio: calls to our own numbers there."""
