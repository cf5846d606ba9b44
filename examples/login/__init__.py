"""Example of a login by a call, with the hosted page and webhooks."""
