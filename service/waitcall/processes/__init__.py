"""Processes: gunicorn's worker and the background worker."""
