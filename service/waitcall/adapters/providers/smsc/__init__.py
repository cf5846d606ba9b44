"""Adapter for the provider SMSC. Only this package knows its protocol (docs/provider.md)."""
