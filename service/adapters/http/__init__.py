"""The three surfaces: internal API, public callback, operations."""
