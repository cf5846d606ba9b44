"""Processes beside the composition: gunicorn's worker, the background worker, the sweeper."""
