"""Log in by a call: the hosted page, and webhooks."""
