"""Processes beside the composition: gunicorn's worker and the background worker."""
