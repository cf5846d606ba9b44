"""Adapter for sms.ru's callcheck (docs/providers/smsru.md)."""
