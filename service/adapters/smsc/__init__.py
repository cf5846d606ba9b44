"""The provider's dialect, spoken and understood only here. Facts: docs/provider.md."""
