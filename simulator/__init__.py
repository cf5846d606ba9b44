"""The provider, emulated from its public record. NOT FOR PRODUCTION. Shares no code with the service."""
