"""Example apps that use the Python client. See README.md."""
