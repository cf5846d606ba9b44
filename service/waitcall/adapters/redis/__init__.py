"""Adapters for Redis and Valkey: records, limits, stored answers and more; standalone, behind Sentinel, or on a cluster."""
