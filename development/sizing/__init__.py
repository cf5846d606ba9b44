"""Sizing of a deployment: a plan from measured costs (plan.py), a simulation of faults, and the page docs/sizing.md."""
