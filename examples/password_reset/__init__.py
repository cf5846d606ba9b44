"""Reset a password by a call and a code: a page of one's own, and polling."""
