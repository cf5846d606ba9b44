"""The Lua scripts, one file each. Keys come through KEYS only, and nothing is left without a TTL."""

from importlib.resources import files


def source(name: str) -> str:
    """The text of ``name.lua`` without its prose."""
    text = files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("--"))
