"""Settings of the environment and the policy file: declared once, read, checked, frozen."""
