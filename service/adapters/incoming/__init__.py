"""How unsigned messages of providers are read: every form alike, in linear time and within bounds (docs/adr/0036)."""
