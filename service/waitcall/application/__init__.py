"""Use cases of the service, and the ports that they need. Nothing here depends on a framework or a database."""
