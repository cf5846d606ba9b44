"""Emulation of the providers, made from their public documentation. NOT FOR PRODUCTION. Shares no code with the service."""
