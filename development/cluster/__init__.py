"""A real Kubernetes of one node on this machine, for tests of the chart: ``make cluster``, ``make cluster-test``."""
