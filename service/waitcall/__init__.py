"""waitcall: a person proves that a phone number is theirs by calling us."""

from importlib.metadata import version

__version__ = version("waitcall")
