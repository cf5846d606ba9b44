"""The Lua scripts, one file each. Keys come through KEYS (``latest.lua`` derives one more), and every key gets a TTL."""

from importlib.resources import files


def source(name: str) -> str:
    """Return the text of ``name.lua`` without the comments at the beginning of a line."""
    text = files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("--"))
