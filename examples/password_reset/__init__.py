"""Example of a password reset by a call and a code, with its own page and polling."""
