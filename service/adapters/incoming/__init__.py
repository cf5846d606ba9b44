"""Reading of callbacks before their signature is checked, in linear time and within bounds (docs/adr/0036)."""
