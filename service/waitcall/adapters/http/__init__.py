"""HTTP adapter with three surfaces: internal API, public callbacks and pages, operations."""
