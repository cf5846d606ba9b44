"""What the service does: use cases, and the ports they need. Knows no technology."""
