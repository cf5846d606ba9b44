"""waitcall: a person proves that a phone number is theirs by calling us."""

__version__ = "0.1.0"
